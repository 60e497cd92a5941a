"""Every word of the pages, in English and in Korean.

The words are trusted HTML of our own, without markup so far; `{…}` is filled with escaped values.
A Korean name is always followed by a noun (앱, 계정), since what stands behind a bare name would
have to agree with its last sound, which is unknown here. Its sentences are 해요체 throughout.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Phrase(NamedTuple):
    """The same words in every language that the pages have; a field's name is its language tag."""

    en: str
    ko: str


CATALOGUE: Final[Mapping[str, Phrase]] = {
    # Signing in
    "sign_in.title": Phrase("Sign in", "로그인"),
    "sign_in.for_client": Phrase(
        "to continue to {client}", "{client} 앱을 계속 이용하려면 로그인하세요."
    ),
    "sign_in.for_account": Phrase(
        "to see the apps with access to your account",
        "계정에 연결된 앱을 확인하려면 로그인하세요.",
    ),
    "sign_in.username": Phrase("Username", "아이디"),
    "sign_in.password": Phrase("Password", "비밀번호"),
    "sign_in.submit": Phrase("Sign in", "로그인"),
    "sign_in.wrong": Phrase(
        "The username or the password is wrong. Check both and try again.",
        "아이디 또는 비밀번호가 올바르지 않아요. 다시 확인해 주세요.",
    ),
    "sign_in.throttled": Phrase(
        "There were too many attempts to sign in.", "로그인 시도가 너무 많았어요."
    ),
    "sign_in.busy": Phrase(
        "Many people are signing in right now.", "지금 로그인하려는 사람이 많아요."
    ),
    "sign_in.stale": Phrase(
        "This page was open for too long. Please sign in again.",
        "페이지를 연 지 오래되었어요. 다시 로그인해 주세요.",
    ),
    # When to try again
    "retry.soon": Phrase("Wait a moment and try again.", "잠시 후 다시 시도해 주세요."),
    "retry.minute": Phrase("Try again in a minute.", "1분 후에 다시 시도해 주세요."),
    "retry.minutes": Phrase(
        "Try again in {minutes} minutes.", "{minutes}분 후에 다시 시도해 주세요."
    ),
    # Consent
    "consent.title": Phrase("Allow access", "접근 허용"),
    "consent.heading": Phrase(
        "Allow {client} to use your account?", "{client} 앱에 계정 접근을 허용할까요?"
    ),
    "consent.destination": Phrase(
        "Once you decide, you return to {host}.", "선택을 마치면 {host} 주소로 돌아가요."
    ),
    "consent.destination_here": Phrase(
        "Once you decide, you return to a program on this device ({host}).",
        "선택을 마치면 이 기기의 프로그램({host})으로 돌아가요.",
    ),
    "consent.later": Phrase(
        "You can take access back at any time, on the page “Apps with access to your account”.",
        "허용한 뒤에도 “계정에 연결된 앱” 페이지에서 언제든지 연결을 해제할 수 있어요.",
    ),
    "consent.allow": Phrase("Allow", "허용"),
    "consent.deny": Phrase("Deny", "거부"),
    # Whose account it is
    "person.signed_in": Phrase("Signed in as {username}", "{username} 계정으로 로그인했어요"),
    "person.switch": Phrase("Use another account", "다른 계정 사용"),
    "person.sign_out": Phrase("Sign out", "로그아웃"),
    # What access means
    "scopes.heading": Phrase("It will be able to", "허용하면 할 수 있는 일"),
    "scopes.none": Phrase("It asks for no particular permission.", "따로 요청한 권한이 없어요."),
    "openings.heading": Phrase("What this opens", "접근할 수 있는 주소"),
    "openings.count": Phrase("{count} addresses", "{count}개"),
    "openings.any_method": Phrase("any", "모두"),
    # Devices
    "device_code.title": Phrase("Connect a device", "기기 연결"),
    "device_code.lead": Phrase(
        "Enter the code that your device shows.", "기기에 표시된 코드를 입력하세요."
    ),
    "device_code.label": Phrase("Code", "코드"),
    "device_code.hint": Phrase(
        "Eight letters, such as {example}. Capitals and the hyphen do not matter.",
        "{example} 같은 영문 8자예요. 대소문자와 하이픈은 구분하지 않아요.",
    ),
    "device_code.submit": Phrase("Continue", "계속"),
    "device_code.unknown": Phrase(
        "This code is wrong or has expired. Check it, or let your device show a new one.",
        "코드가 올바르지 않거나 만료되었어요. 코드를 확인하거나 기기에서 새 코드를 받아 주세요.",
    ),
    "device_code.throttled": Phrase(
        "There were too many wrong codes.", "잘못된 코드를 너무 많이 입력했어요."
    ),
    "device_code.stale": Phrase(
        "This page was open for too long. Please enter the code again.",
        "페이지를 연 지 오래되었어요. 코드를 다시 입력해 주세요.",
    ),
    "device_confirm.title": Phrase("Confirm your device", "기기 확인"),
    "device_confirm.compare": Phrase(
        "Does your device show this code?", "기기에 이 코드가 표시되어 있나요?"
    ),
    "device_confirm.warning": Phrase(
        "If somebody sent you this code or a link to this page, choose Deny: "
        "they would get into your account.",
        "다른 사람이 이 코드나 링크를 보냈다면 거부하세요. "
        "허용하면 그 사람이 회원님의 계정에 접근할 수 있어요.",
    ),
    "device_done.allowed.title": Phrase("Your device is connected", "기기를 연결했어요"),
    "device_done.allowed.words": Phrase(
        "{client} can use your account now. You may close this page and go back to your device.",
        "이제 {client} 앱이 회원님의 계정을 이용할 수 있어요. 이 페이지를 닫고 기기로 돌아가세요.",
    ),
    "device_done.denied.title": Phrase("Access denied", "접근을 거부했어요"),
    "device_done.denied.words": Phrase(
        "{client} gets no access to your account. You may close this page.",
        "{client} 앱은 회원님의 계정에 접근할 수 없어요. 이 페이지를 닫아도 돼요.",
    ),
    # The account
    "account.title": Phrase("Apps with access to your account", "계정에 연결된 앱"),
    "account.lead": Phrase(
        "These apps may use your account. Remove those that you no longer need.",
        "회원님의 계정을 이용할 수 있는 앱이에요. 더 이상 쓰지 않는 앱은 연결을 해제하세요.",
    ),
    "account.since": Phrase("since {date}", "{date}부터"),
    "account.revoke": Phrase("Remove access", "연결 해제"),
    "account.revoked": Phrase("{client} no longer has access.", "{client} 앱의 연결을 해제했어요."),
    "account.empty.title": Phrase("No app has access", "연결된 앱이 없어요"),
    "account.empty.words": Phrase(
        "When you allow an app to use your account, you find it here.",
        "앱에 계정 접근을 허용하면 여기에서 확인할 수 있어요.",
    ),
    "signed_out.title": Phrase("You are signed out", "로그아웃했어요"),
    "signed_out.words": Phrase(
        "Apps that you have allowed keep their access until you remove it.",
        "허용한 앱의 연결은 직접 해제할 때까지 유지돼요.",
    ),
    "signed_out.again": Phrase("Sign in again", "다시 로그인"),
    # Errors: what it is, what happened, what to do
    "error.from_client": Phrase("You came from {client}.", "{client} 앱에서 보낸 요청이에요."),
    "error.retry": Phrase("Try again", "다시 시도"),
    "error.technical": Phrase("For developers", "개발자를 위한 정보"),
    "error.unknown_client.title": Phrase("This app is not known here", "등록되지 않은 앱이에요"),
    "error.unknown_client.words": Phrase(
        "The app that sent you here is not registered, or it was disabled.",
        "이 페이지로 안내한 앱이 등록되어 있지 않거나 사용이 중지되었어요.",
    ),
    "error.unknown_client.mend": Phrase(
        "Go back to the app. If this happens again, tell whoever runs it.",
        "앱으로 돌아가세요. 같은 문제가 계속되면 앱 운영자에게 알려 주세요.",
    ),
    "error.wrong_redirect.title": Phrase("You were not sent back", "앱으로 돌려보내지 않았어요"),
    "error.wrong_redirect.words": Phrase(
        "The app wants its answer at an address that is not registered for it. "
        "To protect your account, nothing was sent there.",
        "앱이 등록되지 않은 주소로 응답을 요청했어요. "
        "회원님의 계정을 보호하기 위해 아무것도 보내지 않았어요.",
    ),
    "error.wrong_redirect.mend": Phrase(
        "Go back to the app. If this happens again, tell whoever runs it.",
        "앱으로 돌아가세요. 같은 문제가 계속되면 앱 운영자에게 알려 주세요.",
    ),
    "error.bad_request.title": Phrase(
        "This request cannot be understood", "요청을 이해할 수 없어요"
    ),
    "error.bad_request.words": Phrase(
        "The link or app that brought you here left something out, or got it wrong.",
        "이 페이지로 안내한 링크나 앱이 보낸 요청에 빠지거나 잘못된 내용이 있어요.",
    ),
    "error.bad_request.mend": Phrase(
        "Go back to the app and start again. If this happens again, tell whoever runs it.",
        "앱으로 돌아가 처음부터 다시 시작하세요. 같은 문제가 계속되면 앱 운영자에게 알려 주세요.",
    ),
    "error.stale.title": Phrase("This page is out of date", "만료된 페이지예요"),
    "error.stale.words": Phrase(
        "It was open for too long, or it has been answered already.",
        "페이지를 연 지 오래되었거나 이미 처리된 요청이에요.",
    ),
    "error.stale.mend": Phrase(
        "Go back to the app and start again.", "앱으로 돌아가 처음부터 다시 시작하세요."
    ),
    "error.not_found.title": Phrase("There is nothing here", "페이지를 찾을 수 없어요"),
    "error.not_found.words": Phrase("No page has this address.", "이 주소에는 페이지가 없어요."),
    "error.not_found.mend": Phrase(
        "Check the address, or go back.", "주소를 확인하거나 이전 페이지로 돌아가세요."
    ),
    "error.throttled.title": Phrase("Too many requests", "요청이 너무 많아요"),
    "error.throttled.words": Phrase(
        "More requests came from you in a short time than are taken.",
        "짧은 시간에 너무 많은 요청을 보냈어요.",
    ),
    "error.throttled.mend": Phrase("Wait a moment and try again.", "잠시 후 다시 시도해 주세요."),
    "error.not_acknowledged.title": Phrase(
        "Not confirmed everywhere yet", "아직 모두 반영되지 않았어요"
    ),
    "error.not_acknowledged.words": Phrase(
        "The access is removed, but this is not confirmed everywhere yet: "
        "for a short while it may still work in places.",
        "연결은 해제했지만 모든 곳에 반영되었는지 확인하지 못했어요. "
        "잠시 동안 일부에서는 아직 접근할 수 있어요.",
    ),
    "error.not_acknowledged.mend": Phrase(
        "Wait a moment and try again.", "잠시 후 다시 시도해 주세요."
    ),
    "error.unavailable.title": Phrase("Not available right now", "지금은 이용할 수 없어요"),
    "error.unavailable.words": Phrase(
        "The service cannot answer at the moment. Your account is not affected.",
        "서비스가 일시적으로 응답하지 못하고 있어요. 회원님의 계정에는 영향이 없어요.",
    ),
    "error.unavailable.mend": Phrase("Wait a moment and try again.", "잠시 후 다시 시도해 주세요."),
    "error.internal.title": Phrase("Something went wrong here", "문제가 발생했어요"),
    "error.internal.words": Phrase(
        "This is a fault of the service, not yours. Its operator finds it logged.",
        "회원님의 잘못이 아니라 서비스의 문제예요. 운영자가 확인할 수 있도록 기록했어요.",
    ),
    "error.internal.mend": Phrase(
        "Try again later. If this happens again, tell the operator.",
        "나중에 다시 시도해 주세요. 같은 문제가 계속되면 운영자에게 알려 주세요.",
    ),
}

MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
