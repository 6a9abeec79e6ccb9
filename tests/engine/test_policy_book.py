"""Which policy counts for which function."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.engine.policy import Policy
from gearpy.engine.policy_book import PATTERNS_MAX, PolicyBook, exactness, matcher
from gearpy.errors import InvalidArgument

from .test_policy import policies

names = st.lists(st.sampled_from([b"a", b"b", b"[", b"]", b"*", b"?", b"!"]), max_size=6).map(
    b"".join
)


@given(names, names)
def test_a_pattern_means_what_it_means_to_a_shell(pattern: bytes, name: bytes) -> None:
    assert matcher(pattern)(name) == fnmatchcase(name.decode("latin-1"), pattern.decode("latin-1"))


def test_more_literal_characters_are_more_exact() -> None:
    rising = [b"*", b"[ij]mage.*", b"image.*", b"image.resize?"]
    assert sorted(rising, key=exactness) == rising[::-1]
    assert sorted([b"**", b"*", b"?"], key=exactness) == [b"?", b"*", b"**"]


# The book.


def test_a_function_that_no_pattern_means_has_no_policy() -> None:
    book = PolicyBook({b"image.*": Policy(attempts=3), b"mail": Policy(poison=1)})
    assert book.of(b"image") is None
    assert book.of(b"mails") is None
    assert book.of(b"mail") == Policy(poison=1)
    assert book.of(b"image.x") == Policy(attempts=3)
    assert PolicyBook().of(b"mail") is None


def test_the_most_exact_counts_first_and_the_others_complete_it() -> None:
    book = PolicyBook(
        {
            b"*": Policy(attempts=1, poison=1, timeout_s=1.0, max_queue=1),
            b"image.*": Policy(attempts=2, poison=2, timeout_s=2.0),
            b"image.re*": Policy(attempts=3, poison=3),
            b"image.resize": Policy(attempts=4),
        }
    )
    assert book.of(b"image.resize") == Policy(attempts=4, poison=3, timeout_s=2.0, max_queue=1)
    assert book.of(b"image.read") == Policy(attempts=3, poison=3, timeout_s=2.0, max_queue=1)
    assert book.of(b"image.x") == Policy(attempts=2, poison=2, timeout_s=2.0, max_queue=1)
    assert book.of(b"mail") == Policy(attempts=1, poison=1, timeout_s=1.0, max_queue=1)


def test_a_plain_name_counts_before_a_longer_pattern() -> None:
    book = PolicyBook({b"[m]ail[!x]": Policy(attempts=2), b"mails": Policy(attempts=1)})
    assert book.of(b"mails") == Policy(attempts=1)
    book = PolicyBook({b"mail?": Policy(attempts=2), b"mails": Policy()})
    assert book.of(b"mails") == Policy(attempts=2)


def test_the_order_in_which_policies_came_does_not_count() -> None:
    table = {b"a*": Policy(attempts=1), b"*b": Policy(attempts=2), b"a?": Policy(attempts=3)}
    forth, back = PolicyBook(table), PolicyBook(dict(reversed(table.items())))
    assert forth.of(b"ab") == back.of(b"ab") == Policy(attempts=3)
    late = PolicyBook()
    for pattern, policy in table.items():
        late.set(pattern, policy)
    assert late.of(b"ab") == Policy(attempts=3)
    assert late.of(b"axb") == forth.of(b"axb") == back.of(b"axb")


def test_what_is_set_hides_the_file_until_it_is_taken_back() -> None:
    book = PolicyBook({b"image.*": Policy(attempts=3, poison=9), b"*": Policy(timeout_s=1.0)})
    assert book.of(b"image.x") == Policy(attempts=3, poison=9, timeout_s=1.0)
    book.set(b"image.*", Policy(attempts=5))
    assert book.of(b"image.x") == Policy(attempts=5, timeout_s=1.0)
    book.set(b"image.*", Policy())
    assert book.of(b"image.x") == Policy(timeout_s=1.0)
    book.set(b"image.x", Policy(max_queue=1))
    assert book.of(b"image.x") == Policy(max_queue=1, timeout_s=1.0)
    assert list(book.items()) == [
        (b"*", "file", Policy(timeout_s=1.0)),
        (b"image.*", "set", Policy()),
        (b"image.x", "set", Policy(max_queue=1)),
    ]
    assert book.take_back(b"image.*")
    assert book.of(b"image.x") == Policy(attempts=3, poison=9, timeout_s=1.0, max_queue=1)
    assert book.take_back(b"image.x")
    assert not book.take_back(b"image.x")
    assert not book.take_back(b"*"), "what the file says can't be taken back"
    assert book.of(b"image.x") == Policy(attempts=3, poison=9, timeout_s=1.0)
    assert [origin for _, origin, _ in book.items()] == ["file", "file"]


def test_a_pattern_that_was_set_and_taken_back_is_forgotten() -> None:
    book = PolicyBook()
    book.set(b"a*", Policy(attempts=1))
    assert book.take_back(b"a*")
    assert book.of(b"ab") is None
    assert list(book.items()) == []


def test_functions_under_the_same_patterns_share_a_policy() -> None:
    book = PolicyBook({b"a*": Policy(attempts=1), b"*": Policy(poison=1)})
    assert book.of(b"a1") is book.of(b"a2")


def test_the_number_of_patterns_has_a_limit() -> None:
    full = {b"p%d*" % number: Policy() for number in range(PATTERNS_MAX)}
    book = PolicyBook(full)
    for pattern in full:
        book.set(pattern, Policy(attempts=1))
    with pytest.raises(InvalidArgument, match="policies for 1,001 names and patterns are too many"):
        book.set(b"one more", Policy())
    book.set(b"p0*", Policy(attempts=2))
    assert book.of(b"p0x") == Policy(attempts=2)
    assert book.of(b"one more") is None
    assert book.take_back(b"p0*")
    book.set(b"one more", Policy())
    with pytest.raises(InvalidArgument, match="1,001 names and patterns are too many"):
        PolicyBook(full | {b"one more": Policy()})


def test_what_can_be_no_name_is_refused_and_changes_nothing() -> None:
    book = PolicyBook()
    with pytest.raises(InvalidArgument, match="a policy needs the name of a function"):
        book.set(b"", Policy())
    with pytest.raises(InvalidArgument, match="control characters"):
        book.set(b"a\n*", Policy())
    with pytest.raises(InvalidArgument, match="at most 255 bytes; this one has 256"):
        book.set(b"a" * 256, Policy())
    assert list(book.items()) == []
    with pytest.raises(InvalidArgument, match="control characters"):
        PolicyBook({b"\0": Policy()})


@given(
    st.dictionaries(names.filter(bool), policies, max_size=5),
    st.lists(st.tuples(names.filter(bool), st.none() | policies), max_size=8),
    names,
)
def test_the_book_is_like_a_plain_merge(
    from_file: dict[bytes, Policy], changes: list[tuple[bytes, Policy | None]], function: bytes
) -> None:
    book = PolicyBook(from_file)
    was_set: dict[bytes, Policy] = {}
    for pattern, policy in changes:
        book.of(function)  # so that what it remembers must be forgotten
        if policy is None:
            assert book.take_back(pattern) == (was_set.pop(pattern, None) is not None)
        else:
            book.set(pattern, policy)
            was_set[pattern] = policy
    counting = from_file | was_set
    meant = [pattern for pattern in counting if (fnmatchcase(function.decode(), pattern.decode()))]
    meant.sort(key=lambda pattern: (any(sign in pattern for sign in b"*?["), exactness(pattern)))
    expected = Policy()
    for pattern in meant:
        expected = expected.over(counting[pattern])
    assert book.of(function) == (expected if meant else None)
    assert {pattern: policy for pattern, _, policy in book.items()} == counting


def test_what_the_server_says_itself_counts_behind_everything_else() -> None:
    own = {b"gearpy.http": Policy(keep_s=3600.0)}
    assert PolicyBook(None, own).of(b"gearpy.http") == Policy(keep_s=3600.0)
    assert PolicyBook(None, own).of(b"gearpy.https") is None
    book = PolicyBook({b"gearpy.*": Policy(keep_s=0.0), b"gearpy.http": Policy(attempts=2)}, own)
    assert book.of(b"gearpy.http") == Policy(keep_s=0.0, attempts=2)
    book = PolicyBook({b"gearpy.http": Policy(max_running=4)}, own)
    assert book.of(b"gearpy.http") == Policy(keep_s=3600.0, max_running=4)
    assert [row[:2] for row in book.items()] == [(b"gearpy.http", "file")]
    book = PolicyBook({b"a": Policy()}, own)
    assert [row[:2] for row in book.items()] == [(b"a", "file"), (b"gearpy.http", "own")]
    book.set(b"gearpy.http", Policy(poison=1))
    assert [row[1] for row in book.items()] == ["file", "set"]
    assert book.take_back(b"gearpy.http")
    assert book.of(b"gearpy.http") == Policy(keep_s=3600.0)
