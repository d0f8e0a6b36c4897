"""The page in a real browser, in front of the real command, in a sandbox whose MFA codes are checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from aws_runas.serve.http import Response
from tests.interop.webdriver import DOWN, ENTER, Browser
from tests.support.serving import Command, FakeCatalogue, FakeProvider, running, serving

IMAGES = Path(__file__).parents[2] / "docs" / "images"
KEEP = bool(os.environ.get("RUNAS_SCREENSHOTS"))  # make the pictures of the docs anew


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as window:
        yield window


def _picture(browser: Browser, name: str) -> None:
    if KEEP:
        browser.run("document.getElementById('bar').style.transition = 'none'")
        browser.screenshot(IMAGES / f"serve-{name}.png")


def _open(browser: Browser, url: str) -> None:
    browser.open(url)
    browser.wait_script("return document.body.dataset.ready")


def test_a_person_picks_a_profile_types_a_wrong_code_then_the_right_one_and_refreshes(
    browser: Browser, make_sandbox: Callable[[], Sandbox]
) -> None:
    sandbox = make_sandbox()
    with Command(["serve", "ecs", "-p", "0", "my-profile"], sandbox.environ) as server:
        _open(browser, server.base)
        browser.wait_text("#until", "left, until")
        assert browser.text("#name") == "my-profile"
        _picture(browser, "page")

        browser.click("button[data-name='my-profile-mfa']")
        browser.wait_script("return document.getElementById('mfa').open")
        browser.enter("#code", "12345" + ENTER)
        browser.wait_text("#code-error", "A code has six digits.")
        right = sandbox.mfa_code()
        wrong = f"{(int(right) + 1) % 1000000:06d}"
        browser.run("document.getElementById('code').value = ''")
        browser.enter("#code", wrong + ENTER)
        browser.wait_text("#code-error", "The MFA code was refused.")
        _picture(browser, "wrong-code")
        browser.enter("#code", right + ENTER)
        browser.wait_script("return !document.getElementById('mfa').open")
        browser.wait_text("#name", "my-profile-mfa")
        browser.wait_text("#until", "left, until")
        assert browser.run("return document.querySelector('[aria-current]').dataset.name") == "my-profile-mfa"

        browser.click("#refresh")  # anew, session token and all: that takes a code again
        browser.wait_script("return document.getElementById('mfa').open")
        calls = sandbox.count("AssumeRole")
        browser.enter("#code", sandbox.mfa_code() + ENTER)
        browser.wait_script("return !document.getElementById('mfa').open")
        assert sandbox.count("AssumeRole") == calls + 1
        assert [line for line in browser.messages() if "401" not in line] == []


@pytest.fixture
def fakes() -> FakeCatalogue:
    return FakeCatalogue()


def test_credentials_count_down_to_their_end_and_can_be_had_again(browser: Browser, fakes: FakeCatalogue) -> None:
    fakes.providers["dev"] = provider = FakeProvider(life=2.0)
    with serving("ec2", catalogue=fakes) as served:
        served.fetch("/latest/meta-data/iam/security-credentials/dev")
        _open(browser, f"http://127.0.0.1:{served.port}/")
        browser.wait_text("#left", "Ended")
        assert browser.wait_script("return document.getElementById('said').textContent").startswith(
            "The credentials of"
        )
        provider.life = 3600.0
        browser.click("#refresh")
        browser.wait_text("#left", "59:")
        assert provider.refreshes == 0  # what has ended is fetched as ever, not by force


def test_what_went_wrong_is_said_in_words(browser: Browser, fakes: FakeCatalogue) -> None:
    with serving("ecs", catalogue=fakes) as served:
        _open(browser, f"http://localhost:{served.port}/")
        browser.click("button[data-name='denied']")
        browser.wait_text("#problem", "AWS refused AssumeRole (AccessDenied).")
        assert browser.role("#problem") == "alert"
    browser.click("button[data-name='dev']")
    browser.wait_text("#problem", "The server does not answer.")


def test_the_page_of_a_server_that_was_started_anew_says_so(browser: Browser) -> None:
    with serving("ecs") as served:
        _open(browser, f"http://127.0.0.1:{served.port}/")
        browser.run("document.querySelector('meta[name=page-token]').content = 'of the one before'")
        browser.click("button[data-name='admin']")
        browser.wait_text("#problem", "Reload this page.")
        assert served.profiles.active.facts.name == "dev"


def test_everything_is_done_with_the_keyboard(browser: Browser) -> None:
    with serving("ecs") as served:
        _open(browser, f"http://127.0.0.1:{served.port}/")
        assert browser.run("return document.activeElement.id") == "find"  # typing finds, without a key before it
        browser.press("lock")
        browser.wait_script("return document.querySelectorAll('.profiles li:not([hidden])').length === 1")
        browser.press(DOWN + ENTER)
        browser.wait_script("return document.getElementById('mfa').open")
        assert browser.run("return document.activeElement.id") == "code"
        browser.press("123456" + ENTER)
        browser.wait_script("return !document.getElementById('mfa').open")
        browser.wait_text("#name", "locked")
        assert browser.run("return document.activeElement.dataset.name") == "locked"


def test_a_screen_reader_has_a_name_and_a_role_for_everything(browser: Browser) -> None:
    with serving("ecs") as served:
        _open(browser, f"http://127.0.0.1:{served.port}/")
        assert (browser.role("#find"), browser.label("#find")) == ("searchbox", "Find a profile")
        assert (browser.role("#roles"), browser.label("#roles")) == ("list", "Roles")
        assert (browser.role("#status"), browser.label("#status").lower()) == ("region", "credentials served now")
        assert browser.role("#left") == "timer"
        assert browser.role("#said") == "status"
        browser.click("button[data-name='locked']")
        browser.wait_script("return document.getElementById('mfa').open")
        assert (browser.role("#mfa"), browser.label("#mfa")) == ("dialog", "MFA code")
        assert browser.label("#code") == "Six digits from your device"
        unnamed = browser.run("""
            return [...document.querySelectorAll("button, input")]
                .filter(each => !each.textContent.trim() && !each.labels?.length).length
        """)
        assert unnamed == 0


def test_text_is_readable_in_light_and_dark(browser: Browser, tmp_path: Path) -> None:
    contrast = """
        const parse = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
        const light = color => parse(color).map(part => part / 255)
            .map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4)
            .reduce((sum, part, at) => sum + part * [.2126, .7152, .0722][at], 0);
        const ground = node => {
            for (; node; node = node.parentElement) {
                const color = getComputedStyle(node).backgroundColor;
                if (!/, 0\\)$/.test(color)) return color;
            }
        };
        return [...document.querySelectorAll("body *")].filter(node => node.offsetParent &&
            [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim())).map(node => {
            const [a, b] = [light(getComputedStyle(node).color), light(ground(node))].sort((a, b) => b - a);
            return [(a + .05) / (b + .05), node.tagName + " " + node.textContent.slice(0, 20)];
        }).filter(([ratio]) => ratio < 4.5);
    """
    with serving("ecs") as served:
        url = f"http://127.0.0.1:{served.port}/"
        served.fetch("/credentials", headers={"Authorization": "made-up-token-for-tests"})
        _open(browser, url)
        browser.wait_text("#until", "left")
        assert browser.run(contrast) == []
        with Browser(tmp_path, dark=True) as dark:
            _open(dark, url)
            dark.wait_text("#until", "left")
            assert dark.run("return matchMedia('(prefers-color-scheme: dark)').matches")
            assert dark.run(contrast) == []
            _picture(dark, "dark")
            dark.click("button[data-name='locked']")
            dark.wait_script("return document.getElementById('mfa').open")
            assert dark.run(contrast) == []


def test_a_narrow_page_keeps_the_name_whole_and_shows_the_profile_in_use(browser: Browser) -> None:
    inside = """
        const [row, list] = ["[aria-current]", ".profiles"]
            .map(name => document.querySelector(name).getBoundingClientRect());
        return row.top >= list.top && row.bottom <= list.bottom;
    """
    with serving("ecs") as served:
        browser.resize(360, 740)
        try:
            _open(browser, f"http://127.0.0.1:{served.port}/")
            line = browser.run("return parseFloat(getComputedStyle(document.querySelector('h1')).lineHeight)")
            assert browser.run("return document.querySelector('h1').offsetHeight") < 1.5 * line
            assert browser.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
            browser.click("button[data-name='denied']")
            browser.wait_text("#name", "denied")
            assert browser.run(inside)
            browser.open(f"http://127.0.0.1:{served.port}/")
            browser.wait_text("#name", "denied")
            assert browser.run(inside)
        finally:
            browser.resize(1100, 860)


def test_nothing_is_fetched_from_elsewhere_and_no_foreign_script_runs(browser: Browser) -> None:
    with serving("ecs") as served:
        _open(browser, f"http://127.0.0.1:{served.port}/")
        fetched = browser.run("return performance.getEntriesByType('resource').map(each => each.name)")
        assert fetched
        assert all(name.startswith((f"http://127.0.0.1:{served.port}/", "data:")) for name in fetched)
        browser.messages()  # of the tests before
        browser.run("""
            const script = document.createElement("script");
            script.textContent = "document.title = 'taken over'";
            document.body.append(script);
            const image = document.createElement("img");
            image.src = "http://127.0.0.1:9/leak";
            document.body.append(image);
        """)
        assert browser.run("return document.title") != "taken over"
        refused = browser.wait(lambda: len(found := browser.messages()) >= 2 and found, "two refusals")
        assert all("Content Security Policy" in line for line in refused)


def test_a_page_of_another_origin_reads_nothing_and_changes_nothing(browser: Browser) -> None:
    attack = """
        const [base, done] = [arguments[0], arguments[arguments.length - 1]];
        const tries = [
            fetch(base + "credentials"), fetch(base + "profile"), fetch(base),
            fetch(base + "profile", { method: "POST", body: "admin", mode: "no-cors" }),
            fetch(base + "profile", { method: "POST", body: "admin", headers: { "X-AwsRunas-Token": "guess" } }),
        ];
        Promise.allSettled(tries).then(all => done(all.map(each => each.value ? each.value.type : "refused")));
    """
    page = Response(200, b"<!doctype html><title>attacker</title>", "text/html")
    with serving("ecs") as victim, running(lambda _, answer: answer(page)) as attacker:
        browser.open(f"http://127.0.0.1:{attacker}/")
        answers = browser.run_async(attack, f"http://127.0.0.1:{victim.port}/")
        assert answers == ["refused"] * 5  # not even opaque: Cross-Origin-Resource-Policy
        assert victim.profiles.active.facts.name == "dev"
        assert sorted(line.split("/' ")[-1].split("' ")[-1][:3] for line in victim.log) == ["403"] * 5
