"""The table of refusals, held against the contract's."""

import dataclasses

import pytest

from gateway.policy.rejection import REFUSALS, TOKEN_REASONS, Reason

# reason: status, error in the challenge, challenge, Retry-After, the reason that a stranger reads
CONTRACT = {
    "missing_token": (401, None, True, False, None),
    "malformed_token": (401, "invalid_token", True, False, None),
    "multiple_tokens": (400, "invalid_request", True, False, None),
    "inactive_token": (401, "invalid_token", True, False, "inactive_token"),
    "expired_token": (401, "invalid_token", True, False, "inactive_token"),
    "revoked_token": (401, "invalid_token", True, False, "inactive_token"),
    "wrong_audience": (401, "invalid_token", True, False, None),
    "wrong_issuer": (401, "invalid_token", True, False, None),
    "insufficient_scope": (403, "insufficient_scope", True, False, None),
    "claim_mismatch": (403, None, True, False, None),
    "authorization_server_unavailable": (503, None, False, True, None),
    "ambiguous_path": (400, None, False, False, None),
    "malformed_request": (400, None, False, False, None),
    "unsupported_coding": (501, None, False, False, None),
    "headers_too_large": (431, None, False, False, None),
    "body_too_large": (413, None, False, False, None),
    "expectation_failed": (417, None, False, False, None),
    "request_timeout": (408, None, False, False, None),
    "no_route": (404, None, False, False, None),
    "method_not_allowed": (405, None, False, False, None),
    "loop_detected": (508, None, False, False, None),
    "foreign_destination": (400, None, False, False, None),
    "network_not_allowed": (403, None, True, False, None),
    "rate_limited": (429, None, False, True, None),
    "cross_origin": (403, None, True, False, None),
    "upstream_unavailable": (502, None, False, False, None),
    "upstream_invalid": (502, None, False, False, None),
    "upstream_timeout": (504, None, False, False, None),
    "internal_error": (500, None, False, False, None),
}
ABOUT_TOKENS = {
    "missing_token", "malformed_token", "multiple_tokens", "inactive_token", "expired_token",
    "revoked_token", "wrong_audience", "wrong_issuer", "insufficient_scope", "claim_mismatch",
    "authorization_server_unavailable",
}  # fmt: skip


@pytest.mark.parametrize("reason", CONTRACT)
def test_a_refusal_looks_as_the_contract_says(reason):
    row = REFUSALS[Reason(reason)]
    found = (
        row.status,
        row.error,
        row.has_challenge,
        row.retry_after is not None,
        row.shown_as,
    )
    assert found == CONTRACT[reason]


def test_every_reason_has_its_row_and_there_is_no_other():
    assert set(REFUSALS) == set(Reason) == set(CONTRACT)


def test_401_and_403_always_carry_a_challenge_and_an_outage_never():
    """A 503 is never the client's fault."""
    for row in REFUSALS.values():
        assert row.has_challenge >= (row.status in (401, 403))
        assert row.status < 500 or not row.has_challenge


def test_the_reasons_about_tokens_are_counted_apart():
    assert set(TOKEN_REASONS) == ABOUT_TOKENS


def test_inactive_expired_and_revoked_read_the_same_outside():
    """Why a token is inactive is the operator's to know, never the stranger's."""
    rows = [
        dataclasses.astuple(REFUSALS[reason])
        for reason in (Reason.INACTIVE_TOKEN, Reason.EXPIRED_TOKEN, Reason.REVOKED_TOKEN)
    ]
    assert rows[0] == rows[1] == rows[2]


def test_the_words_fit_into_a_quoted_string_and_a_page():
    """They stand in WWW-Authenticate as they are (RFC 9110, section 5.6.4)."""
    for row in REFUSALS.values():
        assert row.title.isascii()
        assert row.title.isprintable()
        assert not set('"\\') & set(row.title)
