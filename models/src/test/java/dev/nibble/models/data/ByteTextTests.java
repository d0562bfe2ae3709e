package dev.nibble.models.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ByteTextTests {
    @Test
    void bundledTextIsLongEnoughForThePreset() {
        ByteText text = ByteText.bundled();
        assertTrue(text.trainLength() > 1_000_000, text.name() + " has " + text.trainLength() + " training bytes");
        assertEquals(text.trainLength() / 9.0, (double) text.validationLength(), 1.0);
    }

    @Test
    void aTenthIsHeldOut() {
        ByteText text = ByteText.of("x", new byte[25]);
        assertEquals(22, text.trainLength());
        assertEquals(3, text.validationLength());
    }

    @Test
    void bytesAboveAsciiAreTokensUpTo255() {
        assertEquals(255, ByteText.of("x", new byte[] {-1}).token(0));
    }

    @Test
    void fileIsReadAsItIs(@TempDir Path folder) throws IOException {
        Path file = Files.write(folder.resolve("a.txt"), new byte[] {10, 13, 0});
        assertEquals(13, ByteText.read(file).token(1));
    }

    @Test
    void missingFileAndEmptyFolderSayWhatTheyAre(@TempDir Path folder) throws IOException {
        Path missing = folder.resolve("missing.txt");
        NibbleException absent = assertThrows(NibbleException.class, () -> ByteText.read(missing));
        assertEquals("text " + missing + " does not exist; check data.path", absent.getMessage());
        Files.writeString(folder.resolve(".hidden"), "x");
        NibbleException directory = assertThrows(NibbleException.class, () -> ByteText.read(folder));
        assertEquals("text folder " + folder + " holds no file; check data.path", directory.getMessage());
    }

    @Test
    void filesOfAFolderFollowEachOtherInTheOrderOfTheirPaths(@TempDir Path folder) throws IOException {
        Files.createDirectories(folder.resolve("b"));
        Files.writeString(folder.resolve("b/2"), "two");
        Files.writeString(folder.resolve("b/1"), ""); // is nowhere
        Files.writeString(folder.resolve("a.txt"), "one");
        Files.writeString(folder.resolve("c"), "3");
        ByteText text = ByteText.read(folder);
        StringBuilder all = new StringBuilder();
        for (long i = 0; i < text.length(); i++) {
            all.append((char) text.token(i));
        }
        assertEquals("onetwo3", all.toString());
        // the same bytes in one file are the same data
        Path whole = Files.writeString(folder.resolveSibling("whole.txt"), "onetwo3");
        assertEquals(ByteText.read(whole).hash(), text.hash());
        Files.delete(whole);
    }

    @Test
    void tooShortTextSaysHowLongItMustBe() {
        ByteText text = ByteText.of("short.txt", new byte[1289]);
        NibbleException e = assertThrows(NibbleException.class, () -> text.requireWindows(130));
        assertTrue(e.getMessage().startsWith("text short.txt has 1289 bytes, but needs at least 1300"), e.getMessage());
        ByteText enough = ByteText.of("enough", new byte[1300]);
        enough.requireWindows(130);
        assertEquals(130, enough.validationLength());
    }
}
