"""The page in a browser, Debian's headless Chromium: what only a browser does."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from gearpy.testing.process import ServerProcess
from gearpy.web.events import _STREAMS_MAX
from gearpy.worker import Job, Worker
from tests.web.conftest import LIMIT_S
from tests.workers import running

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Debian's packages chromium and chromium-driver"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(LIMIT_S)
    yield driver
    driver.quit()


class Browser:
    """A browser at a server's page.  What it complained of is looked at in the end."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self._url = url

    def open(self, path: str) -> None:
        self.driver.get(self._url + path)

    def text(self) -> str:
        text: str = self.run("return document.querySelector('main')?.innerText ?? ''")
        return text

    def wait_for(self, part: str) -> None:
        """Until the page shows it."""
        try:
            self.wait_until(lambda: part in self.text())
        except TimeoutException:
            pytest.fail(f"{part!r} is never shown, but {self.text()!r}")

    def wait_until(self, holds: Callable[[], object]) -> None:
        WebDriverWait(self.driver, LIMIT_S).until(lambda _: holds())

    def complaints(self) -> list[dict[str, Any]]:
        """What the browser has logged as an error since the last call."""
        driver: Any = self.driver  # selenium gives this method no types
        entries: list[dict[str, Any]] = driver.get_log("browser")
        return [entry for entry in entries if entry["level"] == "SEVERE"]

    def press(self, label: str) -> None:
        """Presses the button with this label."""
        self.driver.find_element(By.XPATH, f"//button[normalize-space()='{label}']").click()

    def run(self, script: str, *arguments: str) -> Any:
        return self.driver.execute_script(script, *arguments)


@pytest.fixture
def browser(chromium: webdriver.Chrome, web: ServerProcess) -> Iterator[Browser]:
    chromium.set_window_size(1300, 800)
    browser = Browser(chromium, web.http_url)
    yield browser
    chromium.get("about:blank")
    assert browser.complaints() == []


def submitted(http: httpx.Client, **job: object) -> str:
    handle: str = http.post("/api/jobs", json={"function": "resize"} | job).json()["handle"]
    return handle


def test_a_job_is_seen_to_finish_live(
    browser: Browser, web: ServerProcess, http: httpx.Client
) -> None:
    may_go_on, may_end = threading.Event(), threading.Event()

    def work(job: Job) -> bytes:
        assert may_go_on.wait(LIMIT_S)
        job.progress(3, 4, "three quarters")
        assert may_end.wait(LIMIT_S)
        return b'{"width": 120}'

    http.put("/api/functions/resize/policy", json={"keep_s": 600})
    handle = submitted(http)
    browser.open(f"/jobs/{handle}")
    browser.wait_for("queued for")
    worker = Worker(web.address)
    worker.register("resize", work)
    with running(worker):
        browser.wait_for("running for")
        may_go_on.set()
        browser.wait_for("3 of 4 three quarters")
        may_end.set()
        browser.wait_for("completed for")
        browser.wait_for('"width": 120')


def test_a_dead_letter_is_marked_and_retried(
    browser: Browser, web: ServerProcess, http: httpx.Client
) -> None:
    def fail(job: Job) -> bytes:
        raise ValueError("out of paper")

    http.put("/api/functions/resize/policy", json={"attempts": 1})
    handles = [submitted(http) for _ in range(2)]
    worker = Worker(web.address)
    worker.register("resize", fail)
    worker.run(burst=True)
    browser.open("/dead")
    browser.wait_for("out of paper")
    box = f"//input[@value='{handles[1]}']"
    browser.driver.find_element(By.XPATH, box).click()
    submitted(http, function="other")
    http.post(f"/api/jobs/{handles[0]}/purge")  # the list comes anew, and the mark must stay
    browser.wait_until(lambda: handles[0] not in browser.text())
    assert browser.driver.find_element(By.XPATH, box).is_selected()
    browser.press("retry the marked")
    browser.wait_for(f"the job {handles[1]}")
    browser.press("yes, run again")
    browser.wait_for("no jobs")
    browser.wait_for(f"The job {handles[1]} was queued again.")
    assert "told" not in browser.driver.current_url, "a bookmark is of the view alone"
    assert http.get(f"/api/jobs/{handles[1]}").json()["job"]["state"] == "queued"


def test_a_function_is_paused_with_the_keyboard_alone(browser: Browser, http: httpx.Client) -> None:
    submitted(http)
    browser.open("/functions/resize")
    browser.wait_for("queued")
    keys = webdriver.ActionChains(browser.driver)
    for _ in range(20):
        keys.send_keys(Keys.TAB).perform()
        if browser.run("return document.activeElement.textContent") == "pause":
            break
    keys.send_keys(Keys.ENTER).perform()
    browser.wait_for("Really?")
    assert browser.run("return document.activeElement.textContent") == "yes, pause it"
    keys.send_keys(Keys.ENTER).perform()
    browser.wait_for("The function resize was paused.")
    assert http.get("/api/functions").json()["functions"][0]["paused"]


def test_a_policy_is_set_with_the_keyboard_alone(browser: Browser, http: httpx.Client) -> None:
    submitted(http)
    browser.driver.set_window_size(400, 800)
    browser.open("/functions/resize")
    browser.wait_for("queued")
    keys = webdriver.ActionChains(browser.driver)

    def tab_to(name: str) -> None:
        for _ in range(40):
            keys.send_keys(Keys.TAB).perform()
            if browser.run("return document.activeElement.id") == name:
                return
        pytest.fail(f"no tab leads to {name}")

    def is_shown(name: str) -> bool:
        return browser.driver.find_element(By.ID, name).is_displayed()

    tab_to("attempts")
    keys.send_keys("3").perform()
    tab_to("retry-")
    assert not is_shown("delays")
    tab_to("backoff-")
    keys.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN).perform()
    assert is_shown("delays")
    assert not is_shown("base_s")
    tab_to("delays")
    keys.send_keys("1, 5").perform()
    tab_to("timeout_s")
    keys.send_keys("0.5", Keys.ENTER).perform()
    browser.wait_for('counts for resize: {"attempts": 3, "timeout_s": 0.5, "backoff": [1, 5]}')
    keys.send_keys(Keys.ENTER).perform()
    browser.wait_for("The policy for resize was set.")
    policy = http.get("/api/functions/resize/policy").json()["policy"]
    assert policy == {"attempts": 3, "timeout_s": 0.5, "backoff": [1, 5]}
    assert is_shown("delays"), "it is filled with what was set"
    width, room = browser.run("return [document.body.scrollWidth, innerWidth]")
    assert width <= room


def test_what_is_no_number_is_not_sent(browser: Browser, http: httpx.Client) -> None:
    submitted(http)
    browser.open("/functions/resize")
    browser.driver.find_element(By.ID, "attempts").send_keys("0")
    browser.press("set")
    assert browser.run("return document.querySelector('#attempts').validity.rangeUnderflow")
    assert "Really?" not in browser.text()


def test_counts_change_while_they_are_looked_at(browser: Browser, http: httpx.Client) -> None:
    submitted(http)
    browser.open("/")
    browser.wait_for("1 queued")
    for _ in range(4):
        submitted(http)
    browser.wait_for("5 queued")


def test_a_wide_table_stays_where_it_was_scrolled_to(browser: Browser, http: httpx.Client) -> None:
    submitted(http)
    browser.driver.set_window_size(400, 800)
    browser.open("/")
    browser.wait_for("1 queued")
    browser.run("document.querySelector('.wide').scrollLeft = 120")
    submitted(http)
    browser.wait_for("2 queued")
    assert browser.run("return document.querySelector('.wide').scrollLeft") == 120


def test_what_is_selected_stays_selected(browser: Browser, http: httpx.Client) -> None:
    first = submitted(http)
    browser.open("/jobs")
    browser.wait_for(first)
    browser.run("getSelection().selectAllChildren(document.querySelector('[data-row] a'))")
    second, third = submitted(http), submitted(http)
    browser.wait_until(lambda: browser.run("return held?.includes(arguments[0])", third))
    assert browser.run("return getSelection().toString()") == first
    assert second not in browser.text()
    browser.run("quit(); getSelection().removeAllRanges()")
    browser.wait_for(second)
    assert third in browser.text(), "the newest is shown, and at once"
    browser.run("listen()")
    browser.run("getSelection().selectAllChildren(document.querySelector('h1'))")
    browser.wait_for(submitted(http))


def test_what_is_pressed_stays_until_it_is_released(browser: Browser, http: httpx.Client) -> None:
    """Or else a click is lost: the link that it began on would be gone when it ends."""
    first = submitted(http)
    browser.open("/jobs")
    browser.wait_for(first)
    link = browser.driver.find_element(By.CSS_SELECTOR, "[data-row] a")
    ActionChains(browser.driver).click_and_hold(link).perform()
    second = submitted(http)
    browser.wait_until(lambda: browser.run("return held?.includes(arguments[0])", second))
    ActionChains(browser.driver).release().perform()
    browser.wait_until(lambda: browser.driver.current_url.endswith(f"/jobs/{first}"))


def test_the_focus_stays_on_what_it_is_on(browser: Browser, http: httpx.Client) -> None:
    first, second, third = (submitted(http, unique=str(number)) for number in range(3))
    browser.open("/jobs")
    browser.wait_for(third)
    row = f"[data-row='{second}']"
    focused = f"document.querySelector(\"{row} [href^='/functions/']\")"
    browser.run(f"{focused}.focus()")
    http.post(f"/api/jobs/{first}/cancel")
    browser.wait_until(lambda: first not in browser.text())
    assert browser.run(f"return document.activeElement === {focused}")
    http.post(f"/api/jobs/{second}/cancel")
    browser.wait_until(lambda: second not in browser.text())
    assert browser.run("return document.activeElement === document.body"), "it slips nowhere"


def test_the_focus_stays_on_a_button(browser: Browser, http: httpx.Client) -> None:
    made = {"cron": "0 8 * * *", "function": "digest"}
    for name in ("b", "c"):
        http.put(f"/api/schedules/{name}", json=made)
    browser.open("/schedules")
    browser.wait_for("digest")
    button = "document.querySelector('[data-row=c] [action^=\"/do/pause-schedule\"] button')"
    browser.run(f"{button}.focus()")
    http.put("/api/schedules/a", json={**made, "function": "first"})
    browser.wait_for("first")
    assert browser.run(f"return document.activeElement === {button}")


def test_a_hidden_page_takes_no_connection_and_catches_up(
    browser: Browser, http: httpx.Client
) -> None:
    """A browser has six connections with a server; these are nine tabs."""
    driver = browser.driver
    submitted(http)
    tabs = [driver.current_window_handle]
    browser.open("/")
    browser.wait_for("1 queued")
    try:
        for _ in range(8):
            driver.switch_to.new_window("tab")
            tabs.append(driver.current_window_handle)
            browser.open("/")
            browser.wait_for("1 queued")
        submitted(http)
        browser.wait_for("2 queued")
        driver.switch_to.window(tabs[0])
        browser.wait_for("2 queued")
        submitted(http)
        browser.wait_for("3 queued")
    finally:
        for tab in tabs[1:]:
            driver.switch_to.window(tab)
            driver.close()
        driver.switch_to.window(tabs[0])


def test_one_page_too_many_says_so_and_tries_again(
    browser: Browser, web: ServerProcess, http: httpx.Client
) -> None:
    def colours() -> str:
        classes: str = browser.run("return document.body.className")
        return classes

    events: list[Iterator[str]] = []
    with ExitStack() as stack:
        for _ in range(_STREAMS_MAX):
            client = stack.enter_context(httpx.Client(base_url=web.http_url, timeout=LIMIT_S))
            stream = client.stream("GET", "/", headers={"accept": "text/event-stream"})
            events.append(stack.enter_context(stream).iter_lines())
            assert next(events[-1]) == ": here"
        browser.open("/")
        browser.wait_until(lambda: colours() == "full")
        words = browser.run(
            "return getComputedStyle(document.querySelector('header'), '::after').content"
        )
        assert "too many pages are kept up to date" in words
    submitted(http)
    browser.wait_for("1 queued")
    assert colours() == ""


def test_escape_means_no(browser: Browser, http: httpx.Client) -> None:
    submitted(http)
    for label in ("pause", "clear what waits"):
        browser.open("/functions/resize?x=1")
        browser.wait_for("queued")
        browser.press(label)
        browser.wait_for("Really?")
        webdriver.ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
        browser.wait_for("The last 5 minutes")
        assert browser.driver.current_url.endswith("/functions/resize?x=1")
    assert not http.get("/api/functions").json()["functions"][0]["paused"]


def test_enter_destroys_nothing(browser: Browser, http: httpx.Client) -> None:
    submitted(http)
    browser.open("/functions/resize")
    browser.press("clear what waits")
    browser.wait_for("Really?")
    webdriver.ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    browser.wait_for("The last 5 minutes")
    assert len(http.get("/api/jobs").json()["jobs"]) == 1


def test_what_is_no_schedule_is_said_and_stays_typed(browser: Browser, http: httpx.Client) -> None:
    browser.open("/schedules")
    for name, text in (("name", "nightly"), ("cron", "61 * * * *"), ("function", "digest")):
        browser.driver.find_element(By.ID, name).send_keys(text)
    browser.driver.find_element(By.ID, "data").send_keys("two\nlines")
    browser.press("set")
    browser.wait_for("It was not set: cron is '61 * * * *'")
    browser.complaints()  # that it was refused, which is so
    assert browser.run("return document.querySelector('#data').value") == "two\nlines"
    cron = browser.driver.find_element(By.ID, "cron")
    cron.clear()
    cron.send_keys("1 * * * *")
    browser.press("set")
    browser.wait_for("Really?")
    browser.press("change it")
    browser.driver.find_element(By.ID, "unique").send_keys("u1")
    browser.press("set")
    browser.wait_for("Really?")
    browser.press("yes, set it")
    browser.wait_for("The schedule nightly was set.")
    (row,) = http.get("/api/schedules").json()["schedules"]
    assert row["schedule"]["unique"] == "u1"


def test_functions_are_sorted_by_the_head_of_a_column(browser: Browser, http: httpx.Client) -> None:
    for name in ("b", "a", "c"):
        submitted(http, function=name)
    submitted(http, function="c")

    def names() -> Any:
        return browser.run(
            "return [...document.querySelectorAll('tbody th')].map(e => e.innerText)"
        )

    browser.open("/")
    browser.wait_until(lambda: names() == ["b", "a", "c"])
    browser.driver.find_element(By.LINK_TEXT, "queued").click()
    browser.wait_until(lambda: names() == ["c", "b", "a"])
    for _ in range(2):
        submitted(http, function="a")
    browser.wait_until(lambda: names() == ["a", "c", "b"])


def test_words_in_a_narrow_table_are_no_column_of_letters(
    browser: Browser, web: ServerProcess, http: httpx.Client
) -> None:
    def fail(job: Job) -> bytes:
        raise ValueError("the printer is out of paper, and nobody knows where there is more")

    http.put("/api/functions/resize/policy", json={"attempts": 1})
    handle = submitted(http)
    worker = Worker(web.address)
    worker.register("resize", fail)
    worker.run(burst=True)
    browser.driver.set_window_size(400, 800)
    for path in (f"/jobs/{handle}", "/audit"):
        browser.open(path)
        browser.wait_until(
            lambda: browser.run("return document.querySelector('td.words') !== null")
        )
        width = browser.run("return document.querySelector('td.words').offsetWidth")
        assert width >= 150, path


@pytest.mark.parametrize(
    "path", ["/", "/jobs", "/dead", "/functions/resize", "/policies", "/schedules", "/audit"]
)
def test_nothing_is_too_wide_for_a_phone(path: str, browser: Browser, http: httpx.Client) -> None:
    submitted(http, unique="u" * 60, labels={"a" * 60: "b" * 200})
    browser.driver.set_window_size(400, 800)
    browser.open(path)
    browser.wait_for("resize" if path in ("/", "/jobs", "/functions/resize") else "no")
    width, room = browser.run("return [document.body.scrollWidth, innerWidth]")
    assert width <= room


def test_light_and_dark_are_told_apart(browser: Browser) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        browser.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        browser.open("/")
        grounds.add(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


def test_a_server_that_is_gone_is_said(browser: Browser, web: ServerProcess) -> None:
    browser.open("/")
    browser.wait_for("no functions")
    web.stop()
    browser.wait_until(lambda: browser.run("return document.body.classList.contains('stale')"))
    browser.driver.get("about:blank")
    browser.complaints()  # that it can't connect, which is so
