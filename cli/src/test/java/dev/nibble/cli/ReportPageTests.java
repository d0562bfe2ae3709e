package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The report in a browser, as wide as a phone and as a desktop, and on paper. */
class ReportPageTests {
    private static final List<String> BROWSERS =
            List.of("chromium", "chromium-browser", "google-chrome", "google-chrome-stable");
    private static final int PHONE = 390; // CSS pixels
    private static final int DESKTOP = 1280;
    private static final long PATIENCE_SECONDS = 60;

    /** Before all other scripts of the page. */
    private static final String WATCH = """
            <script>
              window.problems = [];
              addEventListener("error", (e) => problems.push("error: " + e.message));
              addEventListener("unhandledrejection", (e) => problems.push("rejection: " + e.reason));
              for (const kind of ["error", "warn"]) {
                console[kind] = (...words) => problems.push(kind + ": " + words.join(" "));
              }
            </script>
            """;

    /** Tells the page around what can be measured: once as it is, once as it is printed. */
    private static final String MEASURE = """
            <script>
              const colored = (canvas) => {
                const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
                let count = 0;
                for (let i = 0; i < pixels.length; i += 4) {
                  const low = Math.min(pixels[i], pixels[i + 1], pixels[i + 2]);
                  const high = Math.max(pixels[i], pixels[i + 1], pixels[i + 2]);
                  count += pixels[i + 3] > 30 && high - low > 60 ? 1 : 0;
                }
                return count;
              };
              const measure = () => ({
                width: innerWidth,
                scrollWidth: document.documentElement.scrollWidth,
                problems,
                fetched: performance.getEntriesByType("resource").map((e) => e.name),
                closed: document.querySelectorAll("details:not([open])").length,
                charts: [...document.querySelectorAll(".chart canvas")].map((c) => ({
                  width: c.getBoundingClientRect().width, height: c.getBoundingClientRect().height, colored: colored(c)})),
                outside: [...document.querySelectorAll("h1, h2, h3, p, figure, .legend, .chart, .command")]
                  .filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => e.outerHTML.slice(0, 80)),
              });
              const later = (action) => setTimeout(action, 300);
              addEventListener("load", () => later(() => {
                const screen = measure();
                dispatchEvent(new Event("beforeprint"));
                later(() => {
                  const print = measure();
                  dispatchEvent(new Event("afterprint"));
                  parent.postMessage({ screen, print }, "*");
                });
              }));
            </script>
            """;

    @TempDir
    Path folder;

    private static Optional<Path> browser() {
        return BROWSERS.stream()
                .flatMap(name -> Stream.of(System.getenv("PATH").split(":", -1)).map(path -> Path.of(path, name)))
                .filter(Files::isExecutable)
                .findFirst();
    }

    private String run(Path page, String... options) throws IOException, InterruptedException {
        Optional<Path> browser = browser();
        assumeTrue(browser.isPresent(), "no Chromium is on the path: the report's page is not looked at");
        List<String> words = new ArrayList<>(List.of(
                browser.get().toString(),
                "--headless=new",
                "--no-sandbox", // which a container does not allow
                "--disable-gpu",
                "--user-data-dir=" + folder.resolve("profile"),
                "--window-size=1900,1000",
                "--virtual-time-budget=3000"));
        words.addAll(List.of(options));
        words.add(page.toUri().toString());
        Path out = folder.resolve("out");
        Process process = new ProcessBuilder(words)
                .redirectOutput(out.toFile())
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        try {
            assertTrue(process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS), "the browser does not end");
        } finally {
            process.destroyForcibly().waitFor();
        }
        assertEquals(0, process.exitValue());
        return Files.readString(out, StandardCharsets.UTF_8);
    }

    private static LayerError error(int step, String layer, String part, double snrDb, double share) {
        return new LayerError(step, layer, part, snrDb, 0.9, share, share / 10, 1, 0, 0);
    }

    /** {@return a run with errors of an operand and a product of two layers in three steps} */
    private static FinishedRun measured(FinishedRun run) {
        List<LayerError> errors = new ArrayList<>();
        for (int step = 0; step < 30; step += 10) {
            for (String part : List.of("input", "output")) {
                boolean product = part.equals("output");
                errors.add(error(step, "blocks.0.mlp.down", part, 20 + step, product ? Double.NaN : 0.02));
                errors.add(error(step, "blocks.1.attn.qkv", part, 25 - step, product ? Double.NaN : 0.3));
                errors.add(error(step, "head", part, Double.POSITIVE_INFINITY, 0));
            }
        }
        return run.with(errors);
    }

    private static String report() {
        return new Report(
                        "nibble compare",
                        List.of("nibble", "compare", "--quantizers", "fp32,int8-fallback,luq", "x".repeat(200)),
                        List.of(
                                ReportTests.run("fp32", 200, 2),
                                ReportTests.run("int8-fallback:block=128x256,threshold=exact", 200, 2.1),
                                measured(ReportTests.run("luq", 200, 2.2))))
                .html();
    }

    /** {@return what the page tells, by width} */
    private Map<Integer, JsonNode> measured() throws IOException, InterruptedException {
        String report = report().replace("<meta charset", WATCH + "<meta charset");
        assertTrue(report.contains("window.problems"), "the page begins as expected");
        Files.writeString(folder.resolve("report.html"), report.replace("</body>", MEASURE + "</body>"));
        StringBuilder host = new StringBuilder("<!DOCTYPE html><meta charset=\"utf-8\"><body><script>");
        host.append("addEventListener('message', (e) => { const line = document.createElement('pre');");
        host.append("line.textContent = JSON.stringify(e.data); document.body.append(line); });</script>");
        for (int width : List.of(PHONE, DESKTOP)) {
            host.append("<iframe src=\"report.html\" width=\"%d\" height=\"800\" style=\"border:0\"></iframe>"
                    .formatted(width));
        }
        String dom = run(Files.writeString(folder.resolve("host.html"), host), "--dump-dom");
        Map<Integer, JsonNode> measured = new HashMap<>();
        for (int at = dom.indexOf("<pre>"); at >= 0; at = dom.indexOf("<pre>", at + 1)) {
            String line = dom.substring(at + "<pre>".length(), dom.indexOf("</pre>", at));
            String json = line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            JsonNode node = new ObjectMapper().readTree(json);
            measured.put(node.at("/screen/width").asInt(), node);
        }
        return measured;
    }

    @Test
    void pageFitsPhoneAndDesktopAndShowsItsCurves() throws Exception {
        Map<Integer, JsonNode> measured = measured();
        for (int width : List.of(PHONE, DESKTOP)) {
            JsonNode both = measured.get(width);
            assertTrue(both != null, () -> width + " pixels: nothing was told of " + measured);
            JsonNode screen = both.get("screen");
            assertEquals("[]", both.at("/print/problems").toString(), "errors and warnings");
            assertEquals("[]", both.at("/print/fetched").toString(), "what was fetched");
            assertTrue(screen.get("scrollWidth").asInt() <= width, screen::toPrettyString);
            assertEquals("[]", screen.get("outside").toString());
            // loss, gap, two of the fallback of each of three runs, three of the errors of the operand
            assertEquals(11, screen.get("charts").size(), screen::toPrettyString);
            assertEquals(12, both.at("/print/charts").size(), "on paper, one of the product, too");
            for (String kind : List.of("screen", "print")) {
                for (JsonNode chart : both.at("/" + kind + "/charts")) {
                    assertTrue(chart.get("width").asDouble() > 150, both::toPrettyString);
                    assertTrue(chart.get("height").asDouble() > 150, both::toPrettyString);
                    assertTrue(chart.get("colored").asInt() > 20, () -> kind + " " + width + ": an empty chart");
                }
            }
            assertEquals(0, both.at("/print/closed").asInt(), "on paper, everything is open");
        }
    }

    @Test
    void pageIsPrintedInFull() throws Exception {
        Path page = Files.writeString(folder.resolve("report.html"), report());
        Path paper = folder.resolve("report.pdf");
        run(page, "--print-to-pdf=" + paper);
        byte[] pdf = Files.readAllBytes(paper);
        String text = new String(pdf, StandardCharsets.ISO_8859_1);
        assertTrue(text.startsWith("%PDF-"), "a PDF file");
        int pages = text.split("/Type\\s*/Page\\b", -1).length - 1;
        assertTrue(pages >= 2 && pages < 12, pages + " pages");
    }
}
