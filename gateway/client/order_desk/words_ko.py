"""What the Order desk says, in Korean."""

WORDS = {
    "site.name": "주문 데스크",
    "site.tagline": "OAuth에서 클라이언트 역할을 맡은 별도의 웹사이트",
    "site.skip": "다섯 단계로 건너뛰기",
    "site.language": "언어",
    "site.end": "주문 데스크는 `gateway demo`의 일부입니다. 모든 것을 메모리에만 두며, 데모가 "
    "끝나면 지워집니다.",
    "start.title": "주문 데스크가 주문 내역을 보아도 될까요?",
    "start.text": "주문 내역은 다른 곳, 이 사이트를 전혀 모르는 오래된 서비스에 있습니다. 주문 "
    "데스크는 그 비밀번호를 원하지 않습니다. 허락을 구할 뿐이며, 허락은 다른 곳, 인가 서버에서 "
    "하시게 됩니다.",
    "start.button": "내 주문에 대한 접근 요청하기",
    "start.hint": "그곳에서 `gateway demo`가 출력한 이름과 비밀번호로 로그인하세요.",
    "have.title": "주문 데스크가 허락을 받았습니다",
    "have.access_token": "액세스 토큰",
    "have.lasts": "앞으로 {minutes}분 {seconds}초 동안 유효",
    "have.expired": "만료됨. 다음 요청 때 먼저 갱신합니다",
    "have.scopes": "범위(scope)",
    "have.refresh_token": "리프레시 토큰",
    "have.none": "없음",
    "do.load": "내 주문 보기",
    "do.refresh": "액세스 토큰 갱신",
    "do.sign_out": "로그아웃",
    "orders.title": "주문 내역",
    "orders.number": "번호",
    "orders.item": "품목",
    "orders.quantity": "수량",
    "orders.none": "주문이 없습니다.",
    "orders.known": "오래된 서비스는 토큰을 보지 못했습니다. 누가 요청하는지는 가드가 알려 "
    "주었습니다: `{client}`, 사용자 `{person}` 대신.",
    "orders.new": "새 주문",
    "orders.add": "주문 추가",
    "try.title": "이제 허락을 거두어 보세요",
    "try.text": "인가 서버에서 주문 데스크의 접근 권한을 철회하세요. 그다음 이곳으로 돌아와 “내 "
    "주문 보기”를 누르세요.",
    "try.link": "내 계정에 접근할 수 있는 앱",
    "news.connected": "허락하셨고, 주문 데스크는 코드를 액세스 토큰으로 바꾸었습니다. 이제 “내 "
    "주문 보기”를 누르세요.",
    "news.loaded": "가드가 요청을 통과시켰습니다. 주문 내역은 다음과 같습니다.",
    "news.added": "가드가 요청을 통과시켰습니다. 주문이 추가되었습니다.",
    "news.refreshed": "새 액세스 토큰과 새 리프레시 토큰을 받았습니다. 허락이 아직 유효하므로 "
    "다시 묻지 않았습니다.",
    "news.renewed": "액세스 토큰이 더 이상 유효하지 않았습니다. 주문 데스크가 리프레시 토큰으로 "
    "새 토큰을 받았고, 가드가 요청을 통과시켰습니다.",
    "news.signed_out": "로그아웃했습니다. 주문 데스크가 토큰을 반납했고, 토큰은 폐기되었습니다. "
    "허락하신 기록과 인가 서버의 로그인 상태는 그대로 남아 있습니다.",
    "news.denied": "허락하지 않으셨습니다. 주문 데스크는 코드도, 따라서 토큰도 받지 못했습니다.",
    "news.access_ended": "거부되었습니다. 가드는 이 액세스 토큰을 더 이상 받지 않고, 리프레시 "
    "토큰으로도 새 토큰을 받을 수 없습니다. 허락이 철회되었거나 기한이 지났습니다. 주문 데스크는 "
    "두 토큰을 모두 버렸으며, 다시 허락을 구하는 수밖에 없습니다.",
    "news.scope_missing": "거부되었습니다. 액세스 토큰은 유효하지만, 이 요청에 필요한 "
    "범위(scope)가 없습니다.",
    "news.unavailable": "응답하지 않은 곳이 있습니다. 잠시 후 다시 시도하세요.",
    "news.refused": "거부되었습니다. 정확한 응답은 단계별 내용에서 볼 수 있습니다.",
    "news.not_revoked": "주문 데스크는 토큰을 버렸지만, 인가 서버가 폐기를 확인해 주지 "
    "않았습니다. 그곳에서 접근 권한을 철회하세요.",
    "news.empty_order": "먼저 주문할 품목을 적어 주세요.",
    "news.wrong_state": "이 브라우저에서 보낸 요청에 대한 응답이 아닙니다. `state`가 다릅니다. "
    "주문 데스크는 아무것도 받아들이지 않았습니다.",
    "news.wrong_issuer": "요청을 받은 인가 서버의 응답이라고 되어 있지 않습니다. `iss`가 "
    "다릅니다. 주문 데스크는 아무것도 받아들이지 않았습니다.",
    "news.wrong_callback": "인가 서버가 보내는 형식의 응답이 아닙니다. 주문 데스크는 아무것도 "
    "받아들이지 않았습니다.",
    "news.no_session": "주문 데스크가 이 브라우저를 기억하지 못합니다. 처음부터 다시 시작하세요.",
    "news.not_from_here": "주문 데스크의 페이지에서 온 요청이 아니므로 아무 일도 하지 않았습니다.",
    "news.not_found": "여기에는 그런 페이지가 없습니다.",
    "news.failed": "주문 데스크에 문제가 생겼습니다. 다시 시도하세요.",
    "roles.title": "누가 누구인가",
    "roles.browser": "나",
    "roles.browser.role": "브라우저 사용",
    "roles.client": "주문 데스크",
    "roles.client.role": "클라이언트",
    "roles.authorization_server": "인가 서버",
    "roles.authorization_server.role": "토큰 발급",
    "roles.guard": "가드",
    "roles.guard.role": "리소스 서버",
    "roles.legacy": "오래된 서비스",
    "roles.legacy.role": "주문 보관",
    "arrow.ask": "“될까요?”",
    "arrow.consent": "로그인, 동의",
    "arrow.code": "코드",
    "arrow.trade": "코드 → 토큰",
    "arrow.call": "액세스 토큰",
    "arrow.forward": "요청",
    "arrow.refresh": "리프레시 토큰 → 새 액세스 토큰",
    "panel.title": "OAuth 2.0의 다섯 단계",
    "panel.text": "OAuth는 한 프로그램이 비밀번호 없이, 허락받은 만큼만, 다른 곳에서 사용자를 "
    "대신해 일하게 해 줍니다. 아래는 각 부분 사이에 실제로 오간 내용입니다. 비밀 값은 줄여서 "
    "보여 줍니다: `••••`.",
    "panel.later": "아직",
    "panel.next": "다음",
    "panel.done": "완료",
    "panel.refused": "거부됨",
    "panel.step": "{number}단계",
    "panel.earlier": "이 단계의 이전 요청",
    "panel.answer": "응답",
    "panel.no_answer": "응답 없음",
    "panel.more": "… 외 {count}개",
    "panel.to": "에서 다음으로:",
    "step.ask": "주문 데스크가 접근을 요청합니다",
    "step.ask.will": "주문 데스크는 인가 서버가 이런 요청을 어디에서 받는지 알아낸 다음, "
    "브라우저를 그곳으로 보냅니다.",
    "step.consent": "인가 서버가 로그인과 동의를 거쳐 코드를 내줍니다",
    "step.consent.will": "비밀번호는 이곳이 아니라 그곳에 입력합니다. 허락하면 브라우저가 코드를 "
    "가지고 돌아옵니다.",
    "step.consent.unseen": "그 사이에는 인가 서버에 계셨습니다. 주문 데스크는 그곳에서 일어난 "
    "일을, 특히 비밀번호를 전혀 보지 못했습니다. 받은 것은 브라우저가 가져온 다음 내용뿐입니다.",
    "step.trade": "주문 데스크가 코드를 액세스 토큰으로 바꿉니다",
    "step.trade.will": "코드만으로는 아무것도 열 수 없습니다. 주문 데스크는 코드를 인가 서버에 "
    "가져가 자신이 누구인지 증명합니다.",
    "step.call": "가드가 토큰이 있는 요청을 통과시킵니다",
    "step.call.will": "주문 데스크는 액세스 토큰을 보이며 주문 내역을 요청합니다. 가드는 토큰을 "
    "확인하고 요청을 오래된 서비스에 전달합니다.",
    "step.refresh": "리프레시 토큰으로 새 액세스 토큰을 받습니다",
    "step.refresh.will": "액세스 토큰의 수명은 짧습니다. 만료되면 리프레시 토큰으로 새 토큰을 "
    "받으며, 다시 묻지 않아도 됩니다.",
    "step.end": "끝으로, 주문 데스크가 토큰을 반납합니다",
    "step.end.will": "로그아웃하면 주문 데스크는 토큰을 폐기하도록 요청합니다.",
    "why.discover": "주문 데스크는 인가 서버의 주소 하나, 즉 발급자(issuer)만 압니다. 나머지 "
    "주소는 추측하지 않고 그곳에 물어봅니다.",
    "why.ask": "비밀번호는 인가 서버만 물을 수 있으므로, 주문 데스크는 브라우저를 그곳으로 "
    "보냅니다. 주소에는 누가, 무엇을 위해 요청하며, 응답을 어디로 보낼지가 적혀 있습니다.",
    "why.callback": "코드는 브라우저를 거쳐 오므로 누군가 엿볼 수 있습니다. 그래서 아직 토큰이 "
    "아닙니다. 코드는 한 번만, 1분 동안만, 주문 데스크에게만 통합니다.",
    "why.trade": "이 요청은 브라우저를 거치지 않고 직접 갑니다. 주문 데스크는 시크릿으로 "
    "허락받은 클라이언트임을, 검증값(verifier)으로 처음에 요청한 쪽임을 증명합니다. 훔친 "
    "코드만으로는 아무 소용이 없습니다.",
    "why.read": "가드는 토큰이 유효한지 인가 서버를 통해 확인하고, 토큰의 범위를 이 주소가 "
    "요구하는 것과 비교한 뒤에야 요청을 오래된 서비스에 전달합니다. 토큰은 가드까지만 갑니다.",
    "why.write": "주문을 추가하는 것은 읽는 것 이상의 일입니다. 허락에 포함되어야 하는 "
    "`orders:write` 범위가 필요합니다.",
    "why.refresh": "수명이 짧으면 액세스 토큰을 도둑맞아도 피해가 작습니다. 리프레시 토큰은 인가 "
    "서버에만 보내며, 쓸 때마다 새것으로 바뀝니다. 나중에 사본이 쓰이면 도난이 드러납니다.",
    "why.revoke": "주문 데스크에 더 이상 토큰이 필요하지 않습니다. 인가 서버가 폐기하면 가드는 "
    "그 즉시 토큰을 거부합니다.",
    "result.invalid_token": "가드의 대답은 '아니요'입니다. 토큰이 알 수 없는 것이거나, "
    "만료되었거나, 폐기되었습니다. 그중 무엇인지는 밖에 알리지 않습니다. 클라이언트는 다음으로 "
    "리프레시 토큰을 써 봅니다.",
    "result.refresh.invalid_grant": "인가 서버의 대답은 '아니요'입니다. 리프레시 토큰이 "
    "만료되었거나, 그 바탕이 된 허락이 철회되었습니다. 다시 동의를 받지 않고는 방법이 없습니다.",
    "result.trade.invalid_grant": "인가 서버의 대답은 '아니요'입니다. 코드가 알 수 없는 "
    "것이거나, 이미 쓰였거나, 1분이 지났습니다.",
    "result.invalid_client": "인가 서버의 대답은 '아니요'입니다. 모르는 클라이언트이거나 "
    "시크릿이 틀렸습니다.",
    "result.insufficient_scope": "가드의 대답은 '아니요'입니다. 토큰은 유효하지만 필요한 범위가 "
    "없습니다. 더 넓은 범위의 토큰을 받으려면 동의가 필요합니다.",
    "result.access_denied": "인가 서버에서 허락하지 않으셨습니다. 그래서 코드가 없습니다.",
    "result.refused": "대답은 '아니요'입니다.",
    "result.no_answer": "응답이 오지 않았습니다.",
    "field.response_type": "코드를 원한다는 뜻",
    "field.client_id": "누가 요청하는가",
    "field.redirect_uri": "응답을 보낼 곳. 미리 등록되어 있으며 글자 하나까지 비교합니다",
    "field.scope": "무엇에 접근하는가",
    "field.state": "응답을 이 브라우저에 묶어 둡니다",
    "field.code_challenge": "주문 데스크만 아는 비밀 값, 검증값(verifier)의 지문",
    "field.code_challenge_method": "지문을 만드는 방법",
    "field.code": "동의를 나타냅니다",
    "field.iss": "누가 응답하는가. 주문 데스크가 비교합니다",
    "field.grant_type": "무엇을 토큰으로 바꾸는가",
    "field.code_verifier": "1단계 지문의 원래 비밀 값",
    "field.Authorization.Basic": "클라이언트의 아이디와 시크릿",
    "field.Authorization.Bearer": "액세스 토큰. 가진 쪽이 쓸 수 있습니다",
    "field.access_token": "보호된 서비스를 한동안 열어 줍니다",
    "field.token_type": "`Authorization: Bearer …`로 보냅니다",
    "field.expires_in": "만료까지 남은 초",
    "field.refresh_token": "다음 액세스 토큰을 받게 해 줍니다",
    "field.error": "거부의 종류",
    "field.WWW-Authenticate": "가드가 요구하는 것, 그리고 잘못된 것",
    "field.Location": "브라우저가 다음에 갈 곳",
    "field.asked_by": "가드가 알려 준 클라이언트",
    "field.on_behalf_of": "그리고 사용자",
    "field.authorization_endpoint": "사람이 브라우저로 가는 곳",
    "field.token_endpoint": "클라이언트가 토큰을 받으러 가는 곳",
    "field.token": "폐기할 토큰",
}
