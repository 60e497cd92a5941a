"""What a client may be registered with."""

import pytest

from gateway.authserver.administration import AdministrationError
from gateway.authserver.administration.registration import (
    Registration,
    check_origin,
    check_redirect_uri,
)
from gateway.authserver.metadata import DEVICE_CODE_GRANT

CALLBACK = "https://app.example/callback"
CODE = "authorization_code"


@pytest.mark.parametrize(
    "uri",
    [
        CALLBACK,
        "https://app.example",
        "https://app.example:8443/callback?tenant=a&b=%20",
        "https://app.example/code?decode=state&Error=iss",
        "https://[fd00::1]/callback",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:7777/callback",
        "http://[::1]/callback",
        "http://localhost:3000/callback",
        "com.example.app:/callback",
        "com.example.app://callback",
        "com.example.app:/a@b",
    ],
)
def test_a_redirect_uri_may_be_https_this_machine_or_an_apps_own_scheme(uri: str) -> None:
    check_redirect_uri(uri)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("", "not absolute"),
        ("/callback", "not absolute"),
        ("//app.example/callback", "not absolute"),
        ("app.example/callback", "not absolute"),
        ("HTTPS://app.example/callback", "not absolute; write it with its scheme in lower case"),
        ("http://app.example/callback", "plain http"),
        ("http://localhost.example/callback", "plain http"),
        ("http://app.localhost/callback", "plain http"),
        ("http://128.0.0.1/callback", "plain http"),
        ("http://10.0.0.1/callback", "plain http"),
        ("http://0.0.0.0/callback", "plain http"),
        ("https://app.example/callback#", "has a fragment"),
        ("https://app.example/callback#part", "has a fragment"),
        ("https://user@app.example/callback", "a user or password stands before the host"),
        ("https://user:geheim@app.example/", "a user or password stands before the host"),
        ("com.example.app://user@host/", "has user information"),
        ("https:///callback", "the host is missing"),
        ("https:/callback", "is not a URL"),
        ("https:callback", "is not a URL"),
        ("https://127.1/callback", "an abbreviated address"),
        ("https://app.example:99999/callback", "is not a port"),
        ("https://app.example:0/callback", "is not a port"),
        ("https://*.app.example/callback", "has a wildcard"),
        ("https://app.example/*", "has a wildcard"),
        ("https://app.example/call back", "has a character that no URI has"),
        ("https://app.example/callback\n", "has a character that no URI has"),
        ("https://app.example/\0", "has a character that no URI has"),
        ("https://app.example/\t", "has a character that no URI has"),
        ("https://äpp.example/callback", "has a character that no URI has"),
        ("https://app.example/%zz", "has a character that no URI has"),
        ("https://app.example/%", "has a character that no URI has"),
        ("https://app.example\\@evil.example/", "has a character that no URI has"),
        ('https://app.example/"', "has a character that no URI has"),
        ("https://app.example/<script>", "has a character that no URI has"),
        ("javascript:alert(1)", "leads to nobody's app"),
        ("data:text/html,x", "leads to nobody's app"),
        ("file:///etc/passwd", "leads to nobody's app"),
        ("urn:ietf:wg:oauth:2.0:oob", "leads to nobody's app"),
        ("myapp://callback", "with a dot in it, as in com.example.app:/callback"),
        ("com.example.app:", "a scheme alone"),
        ("com.example.app:/", "a scheme alone"),
        ("https://app.example/?code=x", "has the parameter code, which every answer brings"),
        ("https://app.example/?a=b&state=x", "has the parameter state"),
        ("https://app.example/?iss=https://evil.example", "has the parameter iss"),
        ("https://app.example/?error=", "has the parameter error"),
        ("https://app.example/?error", "has the parameter error"),
        ("https://app.example/?%65rror_uri=x", "has the parameter error_uri"),
        ("http://127.0.0.1/?error_description=x", "has the parameter error_description"),
        ("com.example.app:/callback?c%6Fde=x", "has the parameter code"),
        ("https://app.example/" + "a" * 2000, "longer than 2000 characters"),
    ],
)
def test_a_redirect_uri_that_could_lead_elsewhere_is_refused_in_one_line(
    uri: str, words: str
) -> None:
    with pytest.raises(AdministrationError) as refused:
        check_redirect_uri(uri)
    assert words in str(refused.value)
    assert "geheim" not in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "origin", ["https://app.example", "https://app.example:8443", "http://localhost:3000"]
)
def test_an_origin_is_as_browsers_send_it(origin: str) -> None:
    check_origin(origin)


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("https://app.example/", "a slash follows the host"),
        ("https://app.example/path", "a path follows the host"),
        ("https://App.example", "write https://app.example"),
        ("https://app.example:443", "write https://app.example"),
        ("http://app.example", "plain http"),
        ("https://u:geheim@app.example", "a user or password"),
        ("*", "is not a URL"),
        ("null", "is not a URL"),
        ("app.example", "is not a URL"),
        ("com.example.app://x", "cannot be used here"),
        ("", "is not a URL"),
    ],
)
def test_an_origin_that_no_browser_sends_is_refused_with_the_mend(origin: str, words: str) -> None:
    with pytest.raises(AdministrationError) as refused:
        check_origin(origin)
    assert words in str(refused.value)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("registration", "grants"),
    [
        (Registration("a", ["client_credentials"]), {"client_credentials"}),
        (Registration("a", redirect_uris=[CALLBACK]), {CODE, "refresh_token"}),
        (Registration("a", [CODE], redirect_uris=[CALLBACK]), {CODE, "refresh_token"}),
        (Registration("a", ["device_code"]), {DEVICE_CODE_GRANT, "refresh_token"}),
        (Registration("a", [DEVICE_CODE_GRANT]), {DEVICE_CODE_GRANT, "refresh_token"}),
        (
            Registration("a", ["device_code", "refresh_token"], has_refresh_token=False),
            {DEVICE_CODE_GRANT},
        ),
        (Registration("a", redirect_uris=[CALLBACK], has_refresh_token=False), {CODE}),
        (Registration("a", may_introspect=True), set()),
        (Registration("a", ["device_code"], is_public=True), {DEVICE_CODE_GRANT, "refresh_token"}),
    ],
    ids=str,
)
def test_grants_are_completed_by_what_they_imply(
    registration: Registration, grants: set[str]
) -> None:
    registration.check()
    assert registration.complete_grant_types() == grants


@pytest.mark.parametrize(
    ("registration", "words"),
    [
        (Registration("a", ["password"]), "no such grant: password; there is authorization_code"),
        (Registration("a", ["implicit"]), "no such grant: implicit"),
        (Registration("a"), "needs a grant, or the right to introspect"),
        (Registration("a", [CODE]), "authorization_code needs a redirect URI"),
        (Registration("a", ["refresh_token"]), "not alone"),
        (Registration("a", ["refresh_token", "client_credentials"]), "not alone"),
        (
            Registration("a", ["client_credentials"], redirect_uris=[CALLBACK]),
            "a redirect URI is of no use without the grant authorization_code",
        ),
        (Registration("a", ["client_credentials"], is_public=True), "public client has no secret"),
        (
            Registration(
                "a", [CODE], redirect_uris=[CALLBACK], is_public=True, may_introspect=True
            ),
            "may not introspect",
        ),
        (Registration("a", scopes=["s"], may_introspect=True), "without a grant"),
        (Registration("a", origins=[CALLBACK], may_introspect=True), "without a grant"),
        (Registration("a", redirect_uris=[CALLBACK, "/b"]), "'/b'|\"/b\" is not absolute"),
        (Registration("a", ["device_code"], origins=["*"]), "origin: "),
        (Registration("a", ["device_code"], name=" Desk"), "a name is one line"),
        (Registration("a", ["device_code"], name="De\nsk"), "a name is one line"),
        (Registration("a", ["device_code"], name="D\u202eesk"), "a name is one line"),
        (Registration("a", ["device_code"], name="x" * 101), "a name is one line"),
        (
            Registration("a", ["device_code"], access_token_lifetime=0),
            "at least a second and at most 366 days",
        ),
        (
            Registration("a", ["device_code"], refresh_token_lifetime=59),
            "at least a minute and at most 366 days",
        ),
        (
            Registration("a", ["device_code"], refresh_token_lifetime=367 * 86400),
            "at least a minute and at most 366 days",
        ),
        (
            Registration("a", ["client_credentials"], refresh_token_lifetime=60),
            "gets no refresh tokens",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_refused_with_the_mend(
    registration: Registration, words: str
) -> None:
    with pytest.raises(AdministrationError, match=words):
        registration.check()
