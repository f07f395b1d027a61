"""Reports as a browser shows them: headless Chromium, offline, from file://. `make browser` runs these and gets one.

Nothing here waits for a time: what is asked is what a page says of itself once it is loaded.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Command, Tiny

from unit.data.images import write_image
from unit.report.captions import RunText
from unit.report.gallery import Card, Gallery, Shot
from unit.report.report import write_report
from unit.report.site import report_folder, write_page

pytestmark = pytest.mark.browser

NAMES = ["<b>\"bold\" & 'co'.png", "a10.png", "a9.png"]
SAID: list[str] = []
"""What the page under test said on its console, failed in, or asked for elsewhere."""


def find_browser() -> str | None:
    """A Chromium on the path, or the one that CHROMIUM names."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; `make browser` gets it")
    executable = find_browser()
    if executable is None:
        pytest.skip("no Chromium is installed; `make browser` gets it or says how")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tiny: Tiny, run_command: Command, toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run on images with odd names, moved to another folder."""
    folder = tmp_path_factory.mktemp("browser")
    run = folder / "run"
    for domain in ("testA", "testB"):
        (folder / "odd" / domain).mkdir(parents=True)
        for number, name in enumerate(NAMES):
            shutil.copy(toys / domain / f"0000{number}.png", folder / "odd" / domain / name)
    for domain in ("trainA", "trainB"):
        shutil.copytree(toys / domain, folder / "odd" / domain)
    assert run_command("train", *tiny(run, "--data.root", str(folder / "odd"))).code == 0
    page = write_report(run).page
    return Path(shutil.move(page.parent, folder / "sent to <a colleague>")) / "index.html"


@pytest.fixture(params=[{"width": 1400, "height": 900}, {"width": 390, "height": 844}], ids=["wide", "narrow"])
def page(request: pytest.FixtureRequest, browser: Any, report: Path) -> Iterator[Any]:
    with opened(browser, report, viewport=request.param) as shown:
        yield shown
    assert SAID == []


class opened:  # noqa: N801
    """A page in a context of its own, whose console, errors and requests are listened to."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.context = browser.new_context(offline=True, **options)
        self.file = file
        self.requests: list[str] = []

    def __enter__(self) -> Any:
        SAID.clear()
        page = self.context.new_page()
        page.on("console", lambda message: SAID.append(message.text))
        page.on("pageerror", lambda error: SAID.append(str(error)))
        page.on("requestfailed", lambda request: SAID.append(f"failed: {request.url}"))
        page.on("request", lambda request: self.ask(request.url))
        page.goto(self.file.resolve().as_uri())
        page.requests = self.requests
        return page

    def ask(self, address: str) -> None:
        self.requests.append(address)
        if not address.startswith((self.file.resolve().parent.as_uri(), "data:")):
            SAID.append(f"asked for {address}")

    def __exit__(self, *error: object) -> None:
        self.context.close()


def names(page: Any) -> list[str]:
    """The cards' names as they are shown, in their order."""
    shown: list[str] = page.locator("section[data-direction]:visible [data-card]:visible .name").all_text_contents()
    return shown


def scores(page: Any) -> list[float]:
    """The figures that stand on the cards."""
    texts = page.locator("section:visible [data-card]:visible [data-score]").all_text_contents()
    return [float(text) for text in texts]


def split(page: Any) -> str:
    found: str = page.locator("[data-slider]").evaluate("element => element.style.getPropertyValue('--split')")
    return found


def test_all_images_load(page: Any) -> None:
    images = page.locator("img:visible")
    assert images.count() > 12
    for image in images.all():
        image.scroll_into_view_if_needed()
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => image.naturalWidth") > 0
    styles = page.evaluate("[...document.styleSheets].map(sheet => sheet.href)")
    assert (
        len(styles) == 1 and page.evaluate("getComputedStyle(document.querySelector('.panel')).borderRadius") == "12px"
    )


def test_nothing_is_wider_than_the_window(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_slider_moves_by_mouse(page: Any) -> None:
    page.locator("[data-stage]").scroll_into_view_if_needed()
    box = page.locator("[data-slider]").bounding_box()
    y = box["y"] + box["height"] / 2
    assert split(page) == "50%"
    page.mouse.click(box["x"] + 0.75 * box["width"], y)
    assert 70 < float(split(page).removesuffix("%")) < 80
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], y, steps=5)
    page.mouse.up()
    assert 20 < float(split(page).removesuffix("%")) < 30
    clip = page.locator("[data-before]").evaluate("image => getComputedStyle(image).clipPath")
    assert clip.startswith("inset(0px calc(") or clip.startswith("inset(0px 7")


def test_the_slider_moves_by_keyboard(page: Any) -> None:
    slider = page.locator("[data-split]")
    slider.focus()
    page.keyboard.press("Home")
    assert split(page) == "0%" and slider.get_attribute("aria-valuetext") == "0 % input"
    page.keyboard.press("ArrowRight")
    assert split(page) == "0.5%"
    page.keyboard.press("End")
    assert split(page) == "100%"


def test_sorting_sorts(page: Any) -> None:
    sort = page.locator("[data-sort]")
    options = sort.locator("option").all_inner_texts()
    assert options[-1] == "name" and any(text.startswith("round trip: levels, worst first") for text in options)
    for text, descending in (("round trip: levels, worst first", True), ("round trip: levels, best first", False)):
        sort.select_option(label=text)
        shown = scores(page)
        assert len(shown) == 3 and shown == sorted(shown, reverse=descending)
    sort.select_option(label="name")
    assert names(page) == [NAMES[0], "a9.png", "a10.png"]


def test_the_worst_of_a_figure_where_higher_is_better_is_the_lowest(page: Any) -> None:
    options = page.locator("[data-sort] option").all_inner_texts()
    figure = next(text for text in options if text.startswith("maps") and text.endswith("worst first"))
    page.locator("[data-sort]").select_option(label=figure)
    shown = scores(page)
    assert shown == sorted(shown)


def test_the_filter_filters(page: Any) -> None:
    page.locator("[data-sort]").select_option(label="name")
    page.locator("[data-filter]").fill("A1")
    assert names(page) == ["a10.png"]
    assert page.locator("[data-stage] [data-name]").inner_text() == "a10.png"
    assert page.locator("[data-count]").inner_text() == "1 of 3"
    page.locator("[data-filter]").fill("nothing so named")
    assert names(page) == [] and page.locator("[data-none]:visible").count() == 1
    page.locator("[data-filter]").fill("")
    assert len(names(page)) == 3


def test_names_are_text(page: Any) -> None:
    assert NAMES[0] in names(page) and page.locator("b", has_text="bold").count() == 0
    page.locator("[data-card]:visible", has_text="bold").click()
    assert page.locator("[data-stage] [data-name]").inner_text() == NAMES[0]


def test_cards_are_chosen_by_keyboard(page: Any) -> None:
    page.locator("[data-sort]").select_option(label="name")
    first = page.locator("[data-card]:visible").first
    first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.name") == "a9.png"
    assert page.locator("[data-stage] [data-name]").inner_text() == "a9.png"
    assert page.locator('[aria-current="true"]:visible').count() == 1
    page.get_by_role("button", name="next").click()
    assert page.locator("[data-stage] [data-name]").inner_text() == "a10.png"


def test_both_sides_and_the_direction_are_chosen(page: Any) -> None:
    right = page.locator('[data-pick="right"]')
    right.select_option("truth")
    after = page.locator("[data-after]")
    assert after.get_attribute("alt").startswith("truth: ") and "/a2b/" in after.get_attribute("src")
    page.get_by_role("radio", name="b → a").check(force=True)
    assert "/b2a/" in after.get_attribute("src") and right.input_value() == "truth"
    page.locator("[data-swap]").click()
    assert page.locator("[data-before]").get_attribute("alt").startswith("truth: ")


def test_sample_grids_follow_their_slider(page: Any) -> None:
    image, slider = page.locator("[data-image]"), page.locator("[data-scrubber]")
    assert image.get_attribute("src").endswith("step-00000004.png")
    slider.focus()
    page.keyboard.press("Home")
    assert image.get_attribute("src").endswith("step-00000002.png")
    assert page.locator("[data-scrub] [data-step]").inner_text() == "2"
    image.evaluate("image => image.decode()")
    assert image.evaluate("image => image.naturalWidth") > 0


def test_curves_say_their_values_under_the_pointer_and_by_keyboard(page: Any) -> None:
    chart = page.locator("[data-chart]").first
    chart.locator("svg").focus()
    page.keyboard.press("Home")
    assert chart.locator("[data-step]").inner_text() == "step 1"
    page.keyboard.press("ArrowRight")
    assert chart.locator("[data-step]").inner_text() == "step 2"
    chart.scroll_into_view_if_needed()
    box = chart.locator("svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + box["height"] / 2)
    assert chart.locator("[data-step]").inner_text() == "step 4"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(browser: Any, report: Path, scheme: str) -> None:
    """At least the contrast of 4.5 that WCAG asks of text, for the soft color, which is the weakest."""
    with opened(browser, report, color_scheme=scheme) as page:
        script = """() => ['--soft', '--ink', '--accent'].map(name => ['--panel', '--page'].map(back => {
            const probe = document.body.appendChild(document.createElement('i'));
            const luminance = color => {
                probe.style.color = getComputedStyle(document.body).getPropertyValue(color);
                const parts = getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(part => {
                    const share = part / 255;
                    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
                });
                return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
            };
            const [one, other] = [luminance(name), luminance(back)].sort((x, y) => y - x);
            return (one + 0.05) / (other + 0.05);
        }))"""
        contrasts = page.evaluate(script)
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert min(min(row) for row in contrasts) >= 4.5, contrasts
    assert (dark == "rgb(20, 21, 22)") == (scheme == "dark") and SAID == []


def test_a_thousand_images_are_not_loaded_at_once(browser: Any, toys: Path, tmp_path: Path) -> None:
    """Only those near the window are asked for; the last is there once it is scrolled to."""
    from unit.data.decoding import read_image

    with report_folder(tmp_path / "many") as folder:
        (folder / "images").mkdir()
        write_image(folder / "images" / "x.png", read_image(toys / "testA" / "00000.png", channels=3))
        cards = []
        for number in range(1000):
            file = f"images/{number}.png"
            os.link(folder / "images" / "x.png", folder / file)
            cards.append(Card(f"{number}.png", [Shot("input", file, file)] * 2, {"score": float(number)}, 24, 24))
        gallery = Gallery("a2b", "a → b", ["input"], cards, 1000, {"score": "higher"})
        text = RunText("many", "finished", "", "", [], [], [])
        write_page(
            folder, "report.html", run=text, tables=[], tiles=[], galleries=[gallery], charts=[], samples=[],
            pictures=[], notes=[],
        )  # fmt: skip
    with opened(browser, tmp_path / "many" / "index.html") as page:
        assert names(page)[0] == "0.png" and page.locator("[data-card]").count() == 1000
        assert len({address for address in page.requests if address.endswith(".png")}) < 300
        last = page.locator("[data-card]").last
        last.scroll_into_view_if_needed()
        last.locator("img").first.evaluate("image => image.decode()")
        assert last.locator("img").first.evaluate("image => image.naturalWidth") == 24
    assert SAID == []
