"""What `gateway demo` runs, and what it says."""

from typing import Final

CONFIGURATION: Final = """\
# What `gateway demo` runs. A configuration of your own looks like this.
listen: {guard}
admin_listen: {admin}
state_dir: ./state

authorization_servers:
  local:
    embedded:
      listen: {authorization_server}
      issuer: http://{authorization_server}
      brand: {{name: Gateway demo}}
      scopes:
        "orders:read": {{en: See your orders, ko: 주문 내역 보기}}
        "orders:write": {{en: Change your orders, ko: 주문 내역 변경하기}}

upstreams:
  orders:
    servers: [http://{legacy}]

routes:
  - name: read-orders
    match: {{path: /orders/**, methods: [GET]}}
    require: {{scopes: ["orders:read"]}}
  - name: write-orders
    match: {{path: /orders/**, methods: [POST]}}
    require: {{scopes: ["orders:write"]}}
  - name: health
    match: {{path: /healthz}}
    public: true
"""

LINES: Final = """\
# A legacy service that knows nothing of OAuth now stands behind a guard.
#
# In a browser, see what OAuth does, step by step:
#
#   {desk}
#
#   Sign in there as {user} with the password {password}
#
# Or paste these lines into another terminal, one after the other.

# 1. Without a token: 401
curl -i {guard}/orders

# 2. The client asks the authorization server for a token
TOKEN=$(curl -s -u '{client}:{secret}' -d grant_type=client_credentials \\
  -d scope=orders:read {issuer}/oauth2/token | sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/')
echo "$TOKEN"

# 3. With the token: 200, and the legacy service's own answer
curl -i -H "Authorization: Bearer $TOKEN" {guard}/orders

# 4. Writing asks for another scope: 403, and the answer names it
curl -i -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d '{{"item": "coffee"}}' {guard}/orders

# 5. The client gives its token up
curl -i -u '{client}:{secret}' -d "token=$TOKEN" {issuer}/oauth2/revoke

# 6. From that moment on: 401
curl -i -H "Authorization: Bearer $TOKEN" {guard}/orders

# 7. As {user}: sign in by the browser, then call from the terminal
{gateway} login {issuer} --scope orders:read
{gateway} call GET {guard}/orders

# What was refused, and why: {admin}/metrics
# The configuration: {file}
"""

WITHOUT_CURL: Final = "# curl is not on this system: apt-get install curl\n"
END: Final = "# Requests appear below; Ctrl-C ends the demo."

# For a password that is easy to type: short, common, and none sounds like another.
PASSWORD_WORDS: Final = (
    *("acorn", "amber", "anchor", "apple", "autumn", "bamboo", "basket", "beacon"),
    *("candle", "canyon", "cedar", "cherry", "cobalt", "copper", "coral", "cotton"),
    *("daisy", "dragon", "ember", "falcon", "feather", "forest", "garden", "ginger"),
    *("harbor", "hazel", "honey", "island", "jasmine", "kettle", "lantern", "lemon"),
    *("linen", "maple", "marble", "meadow", "mirror", "mountain", "nectar", "ocean"),
    *("olive", "orchid", "otter", "paper", "pebble", "pepper", "pilot", "planet"),
    *("quartz", "rabbit", "raven", "ribbon", "river", "saffron", "sailor", "silver"),
    *("summer", "sunset", "thunder", "timber", "velvet", "violet", "walnut", "willow"),
)
