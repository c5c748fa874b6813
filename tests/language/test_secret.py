"""Secrets are looked up when they are used, and never shown."""

from __future__ import annotations

import pytest

from engine.language.secret import Secret, SecretError


def test_a_secret_comes_from_the_environment(tmp_path):
    environ = {}
    secret = Secret("env:TOKEN", tmp_path, environ)
    with pytest.raises(SecretError, match="the environment variable TOKEN is not set"):
        secret.reveal()
    environ["TOKEN"] = "hunter2"
    assert secret.reveal() == "hunter2"
    assert "hunter2" not in repr(secret)
    assert "hunter2" not in str(secret)


def test_an_empty_variable_is_not_set(tmp_path):
    with pytest.raises(SecretError, match="is not set"):
        Secret("env:TOKEN", tmp_path, {"TOKEN": ""}).reveal()


def test_a_secret_comes_from_a_file_of_the_home_or_elsewhere(tmp_path):
    (tmp_path / "token").write_text("hunter2\n")
    assert Secret("file:token", tmp_path, {}).reveal() == "hunter2"
    assert Secret(f"file:{tmp_path / 'token'}", tmp_path / "other", {}).reveal() == "hunter2"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "should hold a secret"),
        (b"  \n", "should hold a secret"),
        (b"\xff\xfe", "cannot be read"),
        (b"x" * 5000, "should hold a secret"),
    ],
)
def test_a_file_that_holds_no_secret_is_told(tmp_path, raw, said):
    (tmp_path / "token").write_bytes(raw)
    with pytest.raises(SecretError, match=said):
        Secret("file:token", tmp_path, {}).reveal()


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(SecretError, match="does not exist"):
        Secret("file:token", tmp_path, {}).reveal()
    with pytest.raises(SecretError, match="cannot be read"):
        Secret(f"file:{tmp_path}", tmp_path, {}).reveal()
