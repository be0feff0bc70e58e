#!/usr/bin/env python3
"""The dashboard in a browser: loads, looks, keyboard, accessibility, hostile names.

    Tests/browser/run [--tool PATH] [--screenshots FOLDER] [--only overview,model,disk,sizing,tiers]

Serves stores with 0, 3 and 1,000 models, and opens each page at 390, 1,280 and 3,840 pixels, light and dark, in headless
Chromium. A page must load without a console error and without a request to another host, fit its width, pass axe, and let the
keyboard reach all links and controls. It prints a line per failure and ends with 1 if there is one. With --screenshots it
saves a picture of each page.
"""
import argparse, json, os, shutil, struct, subprocess, sys, tempfile, time, urllib.parse, urllib.request

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WIDTHS = {390: 844, 1280: 900, 3840: 2160}
HOSTILE = "<script>window.harm=1</script>"
LARGE = 1000


def write_model(folder, number):
    """A checkpoint of two layers; a quarter of the models shares its first layer with others."""
    os.makedirs(folder)
    tensors, data = {}, b""
    for layer in range(2):
        seed = number if layer or number % 4 else number % 3
        body = struct.pack("<I", seed) * 1024
        tensors[f"model.layers.{layer}.mlp.weight"] = {
            "dtype": "F32", "shape": [32, 32], "data_offsets": [len(data), len(data) + len(body)]}
        data += body
    head = json.dumps(tensors).encode()
    with open(folder + "/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + data)
    with open(folder + "/config.json", "w") as file:
        json.dump({"model_type": "test", "number": number}, file)


class Server:
    """A store with some models, and `weightstore serve` over it."""

    def __init__(self, tool, folder, count):
        self.count, self.store = count, folder + "/store"
        self.tool = [tool]
        for number in range(count):
            path = f"{folder}/models/org{number % 7}/model-{number:04}"
            write_model(path, number)
        if count:
            # One import of a hub cache-like tree is faster than a thousand commands.
            self.run("init", "--store", self.store)
            for number in range(count):
                path = f"{folder}/models/org{number % 7}/model-{number:04}"
                self.run("import", path, "--name", f"org{number % 7}/model-{number:04}", "--store", self.store)
            self.run("tag", "org0/model-0000", HOSTILE, "--store", self.store)
            self.run("pin", "org0/model-0000", "--note", HOSTILE, "--store", self.store)
            self.run("quota", "--set", "1G", "--store", self.store)
        else:
            self.run("init", "--store", self.store)
        self.process = subprocess.Popen(
            self.tool + ["serve", "--port", "0", "--quiet", "--store", self.store], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def run(self, *arguments):
        subprocess.run(self.tool + list(arguments), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self):
        self.process.terminate()
        self.process.wait()


def pages(server):
    found = {"overview": "/", "disk": "/disk", "sizing": "/sizing", "tiers": "/tiers", "models": "/models"}
    if server.count:
        found |= {
            "model": "/models/org0/model-0000", "layers": "/disk?model=org0/model-0000",
            "shards": "/disk?model=org0/model-0000&layer=1", "search": "/?q=model-000", "sorted": "/?sort=size&dir=desc",
        }
    return found


class Checks:
    def __init__(self, browser, screenshots):
        self.browser, self.screenshots, self.failures, self.axe = browser, screenshots, [], Axe()

    def fail(self, place, text):
        self.failures.append(f"{place}: {text}")
        print(f"FAILED {place}: {text}", flush=True)

    def check(self, server, name, path, width, scheme):
        place = f"{name} of {server.count} models, {width} pixels, {scheme}"
        context = self.browser.new_context(
            viewport={"width": width, "height": WIDTHS[width]}, color_scheme=scheme, reduced_motion="reduce")
        page = context.new_page()
        page.on("console", lambda message: message.type in ("error", "warning") and self.fail(place, message.text))
        page.on("pageerror", lambda error: self.fail(place, f"error of the script: {error}"))
        page.on(
            "request", lambda request: request.url.startswith((server.url, "data:"))
            or self.fail(place, f"request to {request.url}"))
        page.goto(server.url + path)
        # Sections that are loaded afterwards are loaded when they are near.
        page.evaluate("""async () => { for (let y = 0; y < document.body.scrollHeight; y += 600) {
            scrollTo(0, y); await new Promise(done => setTimeout(done, 20)); } scrollTo(0, 0); }""")
        try:
            page.wait_for_function("!document.querySelector('[aria-busy], [data-load] > p.nothing > a:only-child')", timeout=60000)
        except Exception:
            self.fail(place, "a section was not loaded")
        if self.screenshots:
            page.screenshot(path=f"{self.screenshots}/{name}-{server.count}-{width}-{scheme}.png", full_page=True)
        if page.evaluate("window.harm !== undefined"):
            self.fail(place, "a name was run as a script")
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if too_wide > 0:
            self.fail(place, f"{too_wide} pixels wider than the screen")
        for violation in self.axe.run(page).response["violations"]:
            for node in violation["nodes"][:3]:
                self.fail(place, f"axe: {violation['id']}: {node['html'][:200]}: {node['failureSummary'][:200]}")
        context.close()

    def keyboard(self, server, path):
        """Tab alone reaches every link, control and scrolled part that is shown, and Enter follows a link."""
        place = f"keyboard, {path} of {server.count} models"
        context = self.browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(server.url + path)
        page.wait_for_timeout(1500)
        pause = page.locator("#pause")
        if pause.is_visible():
            pause.press("Enter")
        want = page.evaluate("""() => { const all = [...document.querySelectorAll(
            "a[href], button, input:not([type=hidden]), summary, [tabindex='0']")].filter(e => e.checkVisibility());
            all.forEach((e, i) => e.dataset.mark = i); return all.length }""")
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        seen = set()
        for _ in range(want + 10):
            page.keyboard.press("Tab")
            mark, ring = page.evaluate("""() => { const e = document.activeElement; const s = getComputedStyle(e);
                return [e.dataset?.mark ?? null, s.outlineStyle !== 'none' || !!e.closest('svg') || !!e.querySelector?.('svg')] }""")
            if mark is not None:
                seen.add(mark)
                if not ring:
                    self.fail(place, f"no mark of the focus at element {mark}")
        if len(seen) != want:
            self.fail(place, f"the keyboard reaches {len(seen)} of {want} elements")
        context.close()

    def behaviour(self, server):
        """The search without and with the script, the map's levels, and the updates."""
        plain = self.browser.new_context(java_script_enabled=False)
        page = plain.new_page()
        page.goto(server.url + "/")
        page.fill("#q", "model-0001")
        page.press("#q", "Enter")
        rows = page.locator("table.models tbody tr").count()
        if rows != 1:
            self.fail("without script", f"the search finds {rows} models, not 1")
        page.click("table.models tbody th a")
        if "/models/" not in page.url or page.locator("h1").inner_text() != "org1/model-0001":
            self.fail("without script", "the link of a model does not lead to its page")
        plain.close()
        context = self.browser.new_context()
        page = context.new_page()
        page.goto(server.url + "/")
        page.wait_for_selector("#live[data-state=live]")
        page.fill("#q", HOSTILE)
        page.wait_for_function("document.querySelectorAll('table.models tbody tr').length === 1")
        if "q=" not in page.url:
            self.fail("search", "the address does not keep it")
        page.goto(server.url + "/disk")
        page.locator("svg.map a").first.click()
        page.wait_for_url("**/disk?model=*")
        page.locator("svg.map a").first.click()
        page.wait_for_url("**layer=*")
        page.goto(server.url + "/")
        page.wait_for_selector("#live[data-state=live]")
        server.run("tag", "org1/model-0001", "moved", "--store", server.store)
        try:
            page.wait_for_function("document.querySelector('#rows')?.textContent.includes('moved')", timeout=30000)
        except Exception:
            self.fail("updates", "a new ref is not shown")
        context.close()

    def speed(self, server):
        """The first answer of a server that has read nothing: its time and size."""
        server.process.terminate()
        server.process.wait()
        server.process = subprocess.Popen(
            server.tool + ["serve", "--port", "0", "--quiet", "--store", server.store], stdout=subprocess.PIPE, text=True)
        server.url = server.process.stdout.readline().strip()
        start = time.perf_counter()
        body = urllib.request.urlopen(server.url + "/").read()
        seconds = time.perf_counter() - start
        print(f"/ of {server.count} models: {seconds * 1000:.0f} ms cold, {len(body) / 1000:.0f} kB")
        if len(body) > 300_000:
            self.fail("size", f"{len(body)} bytes; at most 300,000")
        if seconds > 0.3:
            self.fail("time", f"{seconds * 1000:.0f} ms cold; at most 300 ms on a machine that does nothing else")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", default=ROOT + "/.build/release/weightstore")
    parser.add_argument("--screenshots")
    parser.add_argument("--only", help="the names of pages, separated by commas")
    parser.add_argument("--models", default=f"0,3,{LARGE}", help="the sizes of the stores")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    if options.screenshots:
        os.makedirs(options.screenshots, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="weightstore-browser-")
    servers = []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
            checks = Checks(browser, options.screenshots)
            for count in map(int, options.models.split(",")):
                server = Server(options.tool, f"{folder}/{count}", count)
                servers.append(server)
                for name, path in pages(server).items():
                    if options.only and name not in options.only.split(","):
                        continue
                    for width in WIDTHS:
                        for scheme in ("light", "dark"):
                            checks.check(server, name, path, width, scheme)
                if count:
                    for path in ("/", "/models/org0/model-0000", "/disk"):
                        checks.keyboard(server, path)
                    checks.behaviour(server)
                checks.speed(server)
            browser.close()
        if checks.failures:
            sys.exit(f"{len(checks.failures)} failures")
    finally:
        for server in servers:
            server.end()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
