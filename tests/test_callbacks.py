"""Who is believed to be the server that calls, and who is not."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gearpy
from gearpy import callbacks
from gearpy.callbacks import SECRET_BYTES_MIN, secret_key, signed, verify_callback
from gearpy.errors import ForgedCallback, GearpyError, InvalidArgument
from tests.docstrings import run_examples

# The example of Standard Webhooks' own libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SIGNED_S = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(SIGNED_S),
    "webhook-signature": SIGNATURE,
}
DAY_S = 86_400


def verified(
    headers: Mapping[str, str] = HEADERS,
    body: bytes = BODY,
    *,
    secret: str = SECRET,
    now_s: float = SIGNED_S,
    **more: Any,
) -> dict[str, Any]:
    return verify_callback(secret, headers, body, now_s=now_s, **more)


def refusal(headers: Mapping[str, str] = HEADERS, body: bytes = BODY, **more: Any) -> str:
    """Why it is not believed."""
    with pytest.raises(ForgedCallback) as caught:
        verified(headers, body, **more)
    assert SECRET not in str(caught.value)
    assert SIGNATURE not in str(caught.value)
    return str(caught.value)


def signed_at(
    body: bytes, delivery: str = "H:a:5/1", time_s: str = str(SIGNED_S)
) -> dict[str, str]:
    """As anybody would sign it who has read the standard."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{delivery}.{time_s}.".encode() + body, hashlib.sha256)
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return {"webhook-id": delivery, "webhook-timestamp": time_s, "webhook-signature": signature}


def test_the_examples_in_its_docstrings_are_true() -> None:
    assert run_examples(callbacks).failed == 0


def test_it_is_part_of_the_package() -> None:
    assert gearpy.verify_callback is verify_callback
    assert issubclass(ForgedCallback, GearpyError)


# ---- what is believed


def test_the_standards_own_example_is_believed() -> None:
    assert verified() == {"test": 2432232314}
    assert signed(secret_key(SECRET), HEADERS["webhook-id"], SIGNED_S, BODY) == HEADERS


@given(st.binary(min_size=SECRET_BYTES_MIN), st.text(), st.integers(0, 10**11))
def test_what_is_signed_is_believed(key: bytes, delivery: str, time_s: int) -> None:
    body = json.dumps({"handle": delivery}).encode()
    secret = f"whsec_{base64.b64encode(key).decode()}"
    try:
        headers = signed(secret_key(secret), delivery, time_s, body)
    except UnicodeEncodeError:
        return  # half a character
    assert verify_callback(secret, headers, body, now_s=time_s) == {"handle": delivery}


def test_a_secret_may_be_any_text() -> None:
    for secret in ("sixteen bytes ok", "größe" * 3, "whsec-" + "x" * 10, "x" * 1000):
        headers = signed(secret_key(secret), "1", SIGNED_S, BODY)
        assert verified(headers, secret=secret) == {"test": 2432232314}


@pytest.mark.parametrize("change", [str.upper, str.title, str.lower, str.swapcase])
def test_names_of_headers_may_be_written_in_any_way(change: Any) -> None:
    assert verified({change(name): value for name, value in HEADERS.items()})


@pytest.mark.parametrize(
    "signatures",
    [
        f"v1,{'A' * 43}= {SIGNATURE}",
        f"{SIGNATURE} v1,{'A' * 43}=",
        f"  v1a,{'A' * 86}== {SIGNATURE}  nonsense , v1, ,",
        f"{SIGNATURE} {SIGNATURE}",
        f"v1,größe {SIGNATURE}",
    ],
)
def test_one_signature_of_several_is_enough(signatures: str) -> None:
    """So that secrets can be changed while both are used."""
    assert verified({**HEADERS, "webhook-signature": signatures})


@pytest.mark.parametrize("age_s", [0, 1, DAY_S, -DAY_S])
def test_it_may_be_a_day_old_or_the_clocks_may_differ(age_s: int) -> None:
    assert verified(now_s=SIGNED_S + age_s)


def test_how_old_it_may_be_is_up_to_the_receiver() -> None:
    assert verified(now_s=SIGNED_S + 10 * DAY_S, max_age_s=10 * DAY_S)
    assert "signed 61 s ago" in refusal(now_s=SIGNED_S + 61, max_age_s=60)


def test_without_a_time_it_is_now() -> None:
    headers = signed(secret_key(SECRET), "1", int(time.time()), BODY)
    assert verify_callback(SECRET, headers, BODY)
    with pytest.raises(ForgedCallback, match="it may be an old one"):
        verify_callback(SECRET, HEADERS, BODY)


# ---- what is not


@pytest.mark.parametrize("name", HEADERS)
def test_one_that_is_not_signed_is_refused(name: str) -> None:
    headers = {other: value for other, value in HEADERS.items() if other != name}
    assert refusal(headers) == f"the callback has no header {name}: it is not signed"


def test_one_without_headers_is_refused() -> None:
    assert refusal({}) == "the callback has no header webhook-id: it is not signed"


WRONG = (
    "the signature of the callback is wrong: it was made with another secret, or the callback was"
)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        " ",
        "v1",
        "v1,",
        ",",
        SIGNATURE.removeprefix("v1,"),
        SIGNATURE.removeprefix("v1"),
        SIGNATURE.replace("v1", "v1a"),
        SIGNATURE.replace("v1", "V1"),
        SIGNATURE.replace("v1", "v2"),
        SIGNATURE.replace(",", "="),
        SIGNATURE.replace(",", ", "),
        SIGNATURE.removesuffix("="),
        SIGNATURE + "=",
        SIGNATURE + ",",
        SIGNATURE.replace("g0hM", "g0hN"),
        SIGNATURE.swapcase(),
        SIGNATURE.replace("+", "-").replace("/", "_"),
        f"v1,{base64.b64decode(SIGNATURE[3:]).hex()}",
        "v1,größe",
        "v1,\udcff",
        "v1,half \ud800",
        "v1," + "A" * 1_000_000,
    ],
)
def test_a_wrong_signature_is_refused(signature: str) -> None:
    assert refusal({**HEADERS, "webhook-signature": signature}).startswith(WRONG)


def test_another_secret_is_refused() -> None:
    for secret in ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", SECRET.removeprefix("whsec_")):
        assert refusal(secret=secret).startswith(WRONG)


@pytest.mark.parametrize(
    "body", [b"", BODY + b" ", BODY + b"\n", BODY[:-1], BODY.replace(b"2", b"3")]
)
def test_a_changed_body_is_refused(body: bytes) -> None:
    assert refusal(body=body).startswith(WRONG)


@pytest.mark.parametrize("delivery", ["", "msg_p5jXN8AQM9LWM0D4loKWxJel", " ", "\udcff", "größe"])
def test_a_changed_id_is_refused(delivery: str) -> None:
    assert refusal({**HEADERS, "webhook-id": delivery}).startswith(WRONG)


def test_an_id_that_none_can_be_is_refused() -> None:
    why = refusal({**HEADERS, "webhook-id": "\ud800"})
    assert why == "webhook-id is '\\ud800', which no header can be"


def test_what_stands_before_a_dot_can_not_be_moved_behind_it() -> None:
    headers = signed_at(BODY, "a.1", str(SIGNED_S))
    assert verified(headers)
    moved = {**headers, "webhook-id": "a", "webhook-timestamp": f"1.{SIGNED_S}"}
    assert "and no number of seconds" in refusal(moved)
    # Whoever could choose the body could choose this, too: so it must begin like JSON.
    headers = signed_at(f"{SIGNED_S}.".encode() + BODY, "a", "1")
    moved = {**headers, "webhook-id": "a.1", "webhook-timestamp": str(SIGNED_S)}
    assert verified(moved) == verified()


@pytest.mark.parametrize("time_s", [str(SIGNED_S + 1), f"0{SIGNED_S}", "0", "999999999999"])
def test_a_changed_time_is_refused(time_s: str) -> None:
    assert refusal({**HEADERS, "webhook-timestamp": time_s}).startswith(WRONG)


@pytest.mark.parametrize(
    "time_s",
    [
        *("", " ", "now", "-1", "+1", "1.5", "1e9", "1_6", "0x1", "nan", "²", "٣"),
        *(f" {SIGNED_S}", f"{SIGNED_S}\n", "9" * 13, "9" * 5000, "\udcff", "half \ud800"),
    ],
)
def test_a_time_that_is_none_is_refused(time_s: str) -> None:
    """Whoever signed it."""
    headers = {**HEADERS, "webhook-timestamp": time_s}
    why = refusal(headers)
    assert why.startswith("webhook-timestamp is ")
    assert why.endswith(", and no number of seconds")
    assert len(why) < 200


def test_one_that_is_too_old_is_refused() -> None:
    """Somebody may have kept it."""
    assert refusal(now_s=SIGNED_S + DAY_S + 1) == (
        "the callback was signed 86,401 s ago, and at most 86,400 are allowed: it may be an old"
        " one, sent once more"
    )


def test_one_from_the_future_is_refused() -> None:
    assert refusal(now_s=SIGNED_S - DAY_S - 1) == (
        "the callback was signed 86,401 s from now, and at most 86,400 are allowed: one of the two"
        " clocks is wrong"
    )


def test_a_wrong_signature_is_told_before_a_wrong_time() -> None:
    """A forger learns nothing about clocks."""
    headers = {**HEADERS, "webhook-signature": "v1,", "webhook-timestamp": "0"}
    assert refusal(headers).startswith(WRONG)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body of the callback is no JSON: "),
        (b"{", "the body of the callback is no JSON: "),
        (b"\xff", "the body of the callback is no JSON: "),
        (b"[" * 100_000, "the body of the callback is no JSON: "),
        (b"[]", "the body of the callback is no JSON object"),
        (b"null", "the body of the callback is no JSON object"),
        (b'"text"', "the body of the callback is no JSON object"),
    ],
)
def test_what_the_server_would_never_say_is_refused(body: bytes, says: str) -> None:
    """Even if it is signed well: somebody else may use the same secret."""
    assert refusal(signed_at(body), body).startswith(says)


@given(
    st.dictionaries(
        st.sampled_from([*HEADERS, "Webhook-Id", "other"]),
        st.text(st.characters(exclude_categories=())) | st.sampled_from(list(HEADERS.values())),
    ),
    st.binary() | st.just(BODY),
)
def test_nothing_but_what_was_signed_is_believed(headers: dict[str, str], body: bytes) -> None:
    found = {name.lower(): value for name, value in headers.items()}
    try:
        verified(headers, body)
    except ForgedCallback:
        return
    assert {name: found[name] for name in HEADERS} == HEADERS
    assert body == BODY


# ---- secrets


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ("", "a secret of 0 bytes can be guessed; it has at least 16"),
        ("fifteen bytes..", "a secret of 15 bytes can be guessed"),
        ("whsec_", "a secret of 0 bytes can be guessed"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8I", "a secret of 15 bytes can be guessed"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "what stands behind whsec_ is base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "what stands behind whsec_ is base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8I LPZIo2LaLaSw", "what stands behind whsec_ is base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "what stands behind whsec_ is base64"),
        ("whsec_größe", "what stands behind whsec_ is base64"),
    ],
)
def test_a_secret_that_is_none_is_a_sentence(secret: str, says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        verified(secret=secret)
    assert says in str(caught.value)
    assert not secret.strip() or secret not in str(caught.value)


def test_the_key_is_what_the_secret_stands_for() -> None:
    assert secret_key(SECRET) == base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert secret_key("sixteen bytes ok") == b"sixteen bytes ok"
    assert secret_key("größe größe größe") == "größe größe größe".encode()
    assert secret_key("\udcff" * 16) == b"\xff" * 16
