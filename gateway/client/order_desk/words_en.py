"""What the Order desk says, in English."""

WORDS = {
    "site.name": "Order desk",
    "site.tagline": "A web site of its own, in OAuth's role of the client",
    "site.skip": "Skip to the five steps",
    "site.language": "Language",
    "site.end": "Order desk is part of `gateway demo`. It keeps everything in memory and forgets "
    "it when the demo ends.",
    "start.title": "May Order desk see your orders?",
    "start.text": "Your orders are kept in another service, an old one that knows nothing of "
    "this site. Order desk does not want your password for it. It asks for your permission, and "
    "you give that elsewhere: at the authorization server.",
    "start.button": "Ask for access to my orders",
    "start.hint": "Sign in there with the name and the password that `gateway demo` printed.",
    "have.title": "Order desk has your permission",
    "have.access_token": "Access token",
    "have.lasts": "good for {minutes} min {seconds} s more",
    "have.expired": "expired; the next request refreshes it first",
    "have.scopes": "Scopes",
    "have.refresh_token": "Refresh token",
    "have.none": "none",
    "do.load": "Show my orders",
    "do.refresh": "Refresh the access token",
    "do.sign_out": "Sign out",
    "orders.title": "Orders",
    "orders.number": "No.",
    "orders.item": "Item",
    "orders.quantity": "Quantity",
    "orders.none": "There are none.",
    "orders.known": "The old service saw no token. The guard told it who asks: `{client}`, for "
    "`{person}`.",
    "orders.new": "New order",
    "orders.add": "Add the order",
    "try.title": "Then take the permission back",
    "try.text": "At the authorization server, revoke Order desk. Come back here and press “Show "
    "my orders”.",
    "try.link": "Apps with access to your account",
    "news.connected": "You have allowed it, and Order desk has traded the code for an access "
    "token. Now press “Show my orders”.",
    "news.loaded": "The guard let the request through. These are your orders.",
    "news.added": "The guard let the request through. The order is added.",
    "news.refreshed": "There is a new access token, and a new refresh token too. You were not "
    "asked again: your permission still holds.",
    "news.renewed": "The access token was no longer good. Order desk got a new one with its "
    "refresh token, and then the guard let the request through.",
    "news.signed_out": "Signed out: Order desk has given its tokens back, and they are revoked. "
    "What it was allowed is still on record at the authorization server, and so is your sign-in "
    "there.",
    "news.denied": "You did not allow it. Order desk got no code, and so no token.",
    "news.access_ended": "Refused. The guard no longer takes the access token, and the refresh "
    "token gets no new one: the permission was taken back, or has run out. Order desk has thrown "
    "both away. All that it can do is ask you again.",
    "news.scope_missing": "Refused. The access token is good, but it lacks the scope that this "
    "demands.",
    "news.unavailable": "Somebody did not answer. Try again in a moment.",
    "news.refused": "Refused. What exactly was answered stands in the steps.",
    "news.not_revoked": "Order desk has thrown its tokens away, but the authorization server did "
    "not confirm that they are revoked. Take the permission back there.",
    "news.empty_order": "Write what to order first.",
    "news.wrong_state": "This answer does not belong to a question that was asked from this "
    "browser: its `state` is another one. Order desk has taken nothing from it.",
    "news.wrong_issuer": "This answer does not say that it comes from the authorization server "
    "that was asked: its `iss` is another one. Order desk has taken nothing from it.",
    "news.wrong_callback": "This is no answer that an authorization server gives. Order desk has "
    "taken nothing from it.",
    "news.no_session": "Order desk does not remember this browser. Begin anew.",
    "news.not_from_here": "This did not come from a page of Order desk, so nothing was done.",
    "news.not_found": "There is no such page here.",
    "news.failed": "Order desk failed. Try again.",
    "roles.title": "Who is who",
    "roles.browser": "You",
    "roles.browser.role": "with a browser",
    "roles.client": "Order desk",
    "roles.client.role": "client",
    "roles.authorization_server": "Authorization server",
    "roles.authorization_server.role": "gives tokens",
    "roles.guard": "Guard",
    "roles.guard.role": "resource server",
    "roles.legacy": "Old service",
    "roles.legacy.role": "has the orders",
    "arrow.ask": "“May I?”",
    "arrow.consent": "sign-in, consent",
    "arrow.code": "code",
    "arrow.trade": "code for token",
    "arrow.call": "access token",
    "arrow.forward": "request",
    "arrow.refresh": "refresh token for new access token",
    "panel.title": "The five steps of OAuth 2.0",
    "panel.text": "OAuth lets one program act for you at another, without your password and only "
    "as far as you allow. Here is what really went over the wire between the parts. Secrets are "
    "cut short: `••••`.",
    "panel.later": "not yet",
    "panel.next": "next",
    "panel.done": "done",
    "panel.refused": "refused",
    "panel.step": "Step {number}",
    "panel.earlier": "Earlier requests of this step",
    "panel.answer": "Answer",
    "panel.no_answer": "no answer",
    "panel.more": "… and {count} more",
    "panel.to": "to",
    "step.ask": "Order desk asks for access",
    "step.ask.will": "Order desk will find out where the authorization server takes such "
    "questions, and send your browser there with its own.",
    "step.consent": "The authorization server signs you in, asks your consent, hands back a code",
    "step.consent.will": "You will type your password there, not here. If you allow it, your "
    "browser comes back with a code.",
    "step.consent.unseen": "Between the two steps you were at the authorization server. Order "
    "desk saw nothing of it, least of all your password. All that it got is what your browser "
    "brought back:",
    "step.trade": "Order desk trades the code for an access token",
    "step.trade.will": "The code alone opens nothing. Order desk will take it to the "
    "authorization server, and prove there who it is.",
    "step.call": "The guard lets the request with the token through",
    "step.call.will": "Order desk will ask for your orders and show the access token. The guard "
    "checks it and passes the request on to the old service.",
    "step.refresh": "The refresh token gets a new access token",
    "step.refresh.will": "An access token does not live long. When it has expired, the refresh "
    "token gets a new one, and you need not be asked again.",
    "step.end": "At the end: Order desk gives its tokens back",
    "step.end.will": "When you sign out, Order desk will have its tokens revoked.",
    "why.discover": "Order desk knows one address of the authorization server, the issuer. There "
    "it asks for the others, so that it need not guess.",
    "why.ask": "Only the authorization server may ask for your password, so Order desk sends "
    "your browser there. The address says who asks, what for, and where the answer shall go.",
    "why.callback": "The code comes through your browser, where somebody might read along. So it "
    "is not the token yet: it works once, for a minute, and only for Order desk.",
    "why.trade": "This goes directly, not through your browser. With its secret Order desk "
    "proves that it is the client that you allowed, with the verifier that it is the one that "
    "asked. A stolen code alone is worthless.",
    "why.read": "The guard has the authorization server's word on whether the token is good, "
    "compares its scopes with what this address demands, and only then passes the request on to "
    "the old service. The token stays with the guard.",
    "why.write": "To add an order is more than to read them: this demands the scope "
    "`orders:write`, which you have allowed or not.",
    "why.refresh": "A short life keeps the harm small when an access token is stolen. The "
    "refresh token goes to nobody but the authorization server, which also replaces it with each "
    "use: a copy that comes later gives the thief away.",
    "why.revoke": "Order desk needs the tokens no longer. Once the authorization server has "
    "revoked them, the guard refuses them at once.",
    "result.invalid_token": "The guard says no: the token is unknown, expired or revoked. Which "
    "of them, it tells nobody outside. The client's next try is its refresh token.",
    "result.refresh.invalid_grant": "The authorization server says no: the refresh token has "
    "expired, or the permission behind it was taken back. Without your consent there is no way "
    "on.",
    "result.trade.invalid_grant": "The authorization server says no: the code is unknown, used, "
    "or more than a minute old.",
    "result.invalid_client": "The authorization server says no: it does not know this client, or "
    "its secret is wrong.",
    "result.insufficient_scope": "The guard says no: the token is good, but lacks a scope. A new "
    "token with more scopes needs your consent.",
    "result.access_denied": "You said no at the authorization server. So there is no code.",
    "result.refused": "The answer is no.",
    "result.no_answer": "No answer came.",
    "field.response_type": "wanted: a code",
    "field.client_id": "who asks",
    "field.redirect_uri": "where the answer goes; registered before, compared letter by letter",
    "field.scope": "what the access is for",
    "field.state": "ties the answer to this browser",
    "field.code_challenge": "fingerprint of a secret that Order desk keeps, the verifier",
    "field.code_challenge_method": "how the fingerprint is made",
    "field.code": "stands for your consent",
    "field.iss": "who answers; Order desk compares it",
    "field.grant_type": "what is traded in",
    "field.code_verifier": "the secret behind the fingerprint of step 1",
    "field.Authorization.Basic": "the client's id and secret",
    "field.Authorization.Bearer": "the access token: whoever bears it may use it",
    "field.access_token": "opens the guarded service for a while",
    "field.token_type": "to be sent as `Authorization: Bearer …`",
    "field.expires_in": "seconds until it expires",
    "field.refresh_token": "gets the next access token",
    "field.error": "the kind of the no",
    "field.WWW-Authenticate": "what the guard demands, and what was wrong",
    "field.Location": "where the browser goes next",
    "field.asked_by": "the guard named the client",
    "field.on_behalf_of": "and the person",
    "field.authorization_endpoint": "people go here, with a browser",
    "field.token_endpoint": "clients go here, for tokens",
    "field.token": "what is to be revoked",
}
