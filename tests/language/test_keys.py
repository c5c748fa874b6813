"""The home's key: made once, whole, for its owner only."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.language import keys
from engine.language.keys import KEY_FILE, KeyFileError, endpoint_hash, load_key, make_key


def test_a_key_is_made_and_read(tmp_path):
    key = make_key(tmp_path)
    assert len(key) == 32
    assert load_key(tmp_path) == key
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_a_key_is_never_replaced(tmp_path):
    key = make_key(tmp_path)
    with pytest.raises(KeyFileError, match="exists already"):
        make_key(tmp_path)
    assert load_key(tmp_path) == key
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE]


def test_of_many_at_once_one_makes_the_key(tmp_path):
    def attempt(_):
        try:
            return make_key(tmp_path)
        except KeyFileError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [key for key in pool.map(attempt, range(8)) if key]
    assert made == [load_key(tmp_path)]


def test_a_file_system_without_links_gets_its_key_too(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError

    monkeypatch.setattr(keys.os, "link", no_links)
    key = make_key(tmp_path)
    assert load_key(tmp_path) == key
    with pytest.raises(KeyFileError, match="exists already"):
        make_key(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(KeyFileError, match="cannot be written: No such file or directory"):
        make_key(tmp_path / "nowhere")


def test_a_missing_key_is_told(tmp_path):
    with pytest.raises(KeyFileError, match=r"is missing\. .* take it from the backup"):
        load_key(tmp_path)


@pytest.mark.parametrize("raw", [b"", b"abc", b"x" * 64, b"\xff" * 64, b"a" * 66, b"A" * 64])
def test_a_damaged_key_is_told_and_not_repeated(tmp_path, raw):
    (tmp_path / KEY_FILE).write_bytes(raw)
    with pytest.raises(KeyFileError, match="is damaged") as told:
        load_key(tmp_path)
    assert not raw or raw.decode("latin-1") not in str(told.value)


def test_a_key_that_is_a_folder_is_told(tmp_path):
    (tmp_path / KEY_FILE).mkdir()
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_key(tmp_path)


def test_an_endpoint_is_known_by_key_channel_and_address():
    hashes = {
        endpoint_hash(key, channel, address)
        for key in (b"a" * 32, b"b" * 32)
        for channel in ("email", "sms")
        for address in ("li@bluedoor.ie", "+353861234567")
    }
    assert len(hashes) == 8
    assert {len(one) for one in hashes} == {32}
    # Fixed for good: another value would forget every suppression of every home.
    assert endpoint_hash(b"\0" * 32, "email", "li@bluedoor.ie").hex() == (
        "a444519effeb9116179cbfd97734df68546f9b3a80ff1a3b22ceb7fd147acdc3"
    )
