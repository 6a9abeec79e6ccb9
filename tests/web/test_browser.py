"""The page in a browser, Debian's headless Chromium: what only a browser does."""

import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from gearpy.testing.process import ServerProcess
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

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)


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
    browser.press("yes, retry")
    browser.wait_for("no jobs")
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
    assert browser.run("return document.activeElement.textContent") == "yes, pause"
    keys.send_keys(Keys.ENTER).perform()
    browser.wait_for("done: pause")
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
    browser.wait_for("done: set-policy")
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


@pytest.mark.parametrize("path", ["/", "/jobs", "/dead", "/functions/resize", "/policies"])
def test_nothing_is_too_wide_for_a_phone(path: str, browser: Browser, http: httpx.Client) -> None:
    submitted(http, unique="u" * 60, labels={"a" * 60: "b" * 200})
    browser.driver.set_window_size(400, 800)
    browser.open(path)
    browser.wait_for("resize" if path != "/policies" and path != "/dead" else "no")
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
