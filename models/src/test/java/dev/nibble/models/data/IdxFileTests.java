package dev.nibble.models.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.HostileFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class IdxFileTests {
    @TempDir
    Path folder;

    private Path file(byte[] bytes) throws IOException {
        return Files.write(folder.resolve("x"), bytes);
    }

    private static IdxFile read(Path path) {
        return IdxFile.read(path, "images [count, rows, cols]", 3);
    }

    private String problem(byte[] bytes) throws IOException {
        Path path = file(bytes);
        String message = assertThrows(FormatException.class, () -> read(path)).getMessage();
        assertTrue(message.startsWith(path + " "), message);
        return message.substring(path.toString().length() + 1);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 13, 127, 128, 129, 100_003})
    void plainAndCompressedFilesAreReadWhateverTheirNames(int count) throws IOException {
        byte[] elements = IdxFiles.counting(count * 6);
        byte[] bytes = IdxFiles.idx(elements, count, 2, 3);
        for (byte[] form : List.of(bytes, IdxFiles.gzip(bytes))) {
            IdxFile idx = read(file(form));
            assertEquals(List.of(count, 2, 3), idx.dims());
            assertArrayEquals(elements, idx.bytes());
            assertEquals(idx.dims(), IdxFile.readDims(file(form), "images", 3));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 3, 4, 7, 15})
    void fileThatEndsInItsHeaderIsTooShort(int length) throws IOException {
        byte[] start = Arrays.copyOf(IdxFiles.idx(new byte[6], 1, 2, 3), length);
        String expected = "ends too early to hold images [count, rows, cols]; is the copy complete?";
        assertEquals(expected, problem(start));
        assertEquals(expected, problem(IdxFiles.gzip(start)));
    }

    @Test
    void missingAndSuperfluousElementsAreCounted() throws IOException {
        byte[] whole = IdxFiles.idx(IdxFiles.counting(12), 2, 2, 3);
        String missing = "has 11 bytes after its header, but shape [2, 2, 3] needs 12; is the copy complete?";
        String more = "has more than 12 bytes after its header, but shape [2, 2, 3] needs no more";
        byte[] shorter = Arrays.copyOf(whole, whole.length - 1);
        byte[] longer = Arrays.copyOf(whole, whole.length + 1);
        assertEquals(missing, problem(shorter));
        assertEquals(missing, problem(IdxFiles.gzip(shorter)));
        assertEquals(more, problem(longer));
        assertEquals(more, problem(IdxFiles.gzip(longer)));
    }

    @Test
    void headerThatPromisesMuchTakesNoMemory() throws IOException {
        // a gigabyte, more than the tests' heap need have: allocated up front, it would show
        byte[] hostile = IdxFiles.idx(new byte[10], 1 << 15, 1 << 5, 1 << 10);
        assertEquals(
                "has 10 bytes after its header, but shape [32768, 32, 1024] needs 1073741824; is the copy complete?",
                problem(hostile));
    }

    @Test
    void sizesThatNoFileHasAreRefused() throws IOException {
        assertEquals(
                "has extent 4294967295 after [], 4294967295 elements, but must have 1..1073741824",
                problem(IdxFiles.idx(new byte[0], -1, -1, -1)));
        // the product of all three is 2^64: 0 in 64 bits
        assertEquals(
                "has extent 2097152 after [2097152], 4398046511104 elements, but must have 1..1073741824",
                problem(IdxFiles.idx(new byte[0], 1 << 21, 1 << 21, 1 << 22)));
        assertEquals(
                "has extent 0 after [], 0 elements, but must have 1..1073741824",
                problem(IdxFiles.idx(new byte[0], 0, 28, 28)));
    }

    @Test
    void otherKindsOfFilesSayWhatTheyAre() throws IOException {
        byte[] bytes = IdxFiles.idx(new byte[6], 1, 2, 3);
        bytes[2] = 0x0D;
        assertEquals("has elements of type 0x0d, but must have unsigned bytes, type 0x08", problem(bytes));
        assertEquals(
                "holds an array of rank 1, but must hold images [count, rows, cols], rank 3",
                problem(IdxFiles.idx(new byte[6], 6)));
        assertEquals("begins with 504b, but an IDX file begins with 0000", problem(new byte[] {'P', 'K', 3, 4, 5}));
    }

    @Test
    void damagedGzipIsSeen() throws IOException {
        byte[] whole = IdxFiles.gzip(IdxFiles.idx(IdxFiles.counting(600), 100, 2, 3));
        byte[] cut = Arrays.copyOf(whole, whole.length - 20);
        assertEquals("ends too early to hold images [count, rows, cols]; is the copy complete?", problem(cut));
        byte[] wrongSum = whole.clone();
        wrongSum[whole.length - 8] ^= 1;
        assertTrue(problem(wrongSum).startsWith("is a damaged gzip file: "));
        assertTrue(problem(new byte[] {0x1F, (byte) 0x8B, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9})
                .startsWith("is a damaged gzip file: "));
    }

    @Test
    void folderAndMissingFileAreReported() {
        NibbleException directory = assertThrows(NibbleException.class, () -> read(folder));
        assertEquals(folder + " is a folder, but must be an IDX file", directory.getMessage());
        Path missing = folder.resolve("missing");
        NibbleException absent = assertThrows(NibbleException.class, () -> read(missing));
        assertEquals(missing + " cannot be read: " + missing + " does not exist", absent.getMessage());
    }

    private int refusals(boolean compressed, int times, long seed) throws IOException {
        byte[] plain = IdxFiles.idx(IdxFiles.counting(5 * 6), 5, 2, 3);
        byte[] good = compressed ? IdxFiles.gzip(plain) : plain;
        return new HostileFile(folder.resolve("x"), good, List.of(), IdxFileTests::read).refusals(times, seed);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void damagedFilesAreReadOrRefused(boolean compressed) throws IOException {
        int refused = refusals(compressed, 1_000, 1);
        assertTrue(refused > 500, refused + " of 1000 were refused");
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    @Tag("slow")
    void damagedFilesAreReadOrRefusedAHundredThousandTimes(boolean compressed) throws IOException {
        int refused = refusals(compressed, 100_000, 2);
        assertTrue(refused > 50_000, refused + " of 100000 were refused");
    }

    @Test
    void everyTruncationIsRefused() throws IOException {
        byte[] whole = IdxFiles.idx(IdxFiles.counting(30), 5, 2, 3);
        for (byte[] form : List.of(whole, IdxFiles.gzip(whole))) {
            for (int length = 0; length < form.length; length++) {
                problem(Arrays.copyOf(form, length));
            }
        }
    }

    @Test
    void compressedFileThatNeverEndsTakesNoMoreThanItsHeaderSays() throws IOException {
        // 64 MB of zeros in 64 KB, where the header promises 30 bytes
        byte[] bomb = IdxFiles.gzip(IdxFiles.idx(new byte[1 << 26], 5, 2, 3));
        assertEquals("has more than 30 bytes after its header, but shape [5, 2, 3] needs no more", problem(bomb));
    }
}
