-- An introspection by RFC 7662 that is remembered for a minute, as an operator of HAProxy would have
-- to write it: active, the token's own expiry and one scope are looked at, with patterns instead of
-- a JSON parser, which HAProxy's Lua lacks.

local LIFETIME, MOST = 60, 100000
local answers, count = {}, 0

local function ask(token)
  local answer = core.httpclient():post({
    url = "http://127.0.0.1:@introspection_port@/oauth2/introspect",
    headers = {
      ["authorization"] = {"Basic @introspection_credentials@"},
      ["content-type"] = {"application/x-www-form-urlencoded"},
    },
    body = "token=" .. token,
    timeout = 5000,
  })
  if not answer or answer.status ~= 200 then
    return nil -- an outage is remembered for no time
  end
  local now = core.now().sec
  local is_active = answer.body:find('"active":%s*true') ~= nil
  local scopes = answer.body:match('"scope":%s*"([^"]*)"') or ""
  local expiry = tonumber(answer.body:match('"exp":%s*(%d+)')) or now + LIFETIME
  return {
    is_allowed = is_active and (" " .. scopes .. " "):find(" orders:read ", 1, true) ~= nil,
    fresh_until = math.min(now + LIFETIME, expiry),
  }
end

core.register_action("introspect", {"http-req"}, function(txn)
  local token = (txn.f:req_hdr("authorization") or ""):match("^[Bb]earer +([%w%._~+/-]+=*)$")
  if not token then
    return
  end
  local answer = answers[token]
  if not answer or core.now().sec >= answer.fresh_until then
    if not answer then
      count = count + 1
      if count > MOST then
        answers, count = {}, 1
      end
    end
    answer = ask(token)
    answers[token] = answer
  end
  if answer and answer.is_allowed then
    txn:set_var("txn.allowed", true)
  end
end)
