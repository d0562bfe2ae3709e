package dev.nibble.models.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.Sha256;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TokenFileTests {
    private static final int HEADER = 104;

    @TempDir
    Path folder;

    private Path tokenizer;
    private Path tokens;

    /** Each character is a token: its code, plus what is left to the size of the vocabulary. */
    private record Characters(int size, List<String> pieces) implements Vocabulary {
        Characters(int size) {
            this(size, new ArrayList<>());
        }

        @Override
        public int[] encode(String text) {
            pieces.add(text);
            return text.chars().map(c -> c + size - 0x400).toArray();
        }

        @Override
        public String decode(List<Integer> tokens) {
            throw new AssertionError("nothing is decoded");
        }

        @Override
        public void close() {}
    }

    @BeforeEach
    void writeTokenizer() throws IOException {
        tokenizer = Files.writeString(folder.resolve("tokenizer.json"), "a tokenizer");
        tokens = folder.resolve("tokens.bin");
    }

    private Path text(String name, String content) throws IOException {
        Path file = folder.resolve(name);
        Files.createDirectories(file.getParent());
        return Files.writeString(file, content);
    }

    private TokenFile of(Path text, Vocabulary vocabulary) {
        return TokenFile.of(text, tokenizer, vocabulary, _ -> tokens);
    }

    @ParameterizedTest
    @ValueSource(ints = {0x400, 1 << 16, (1 << 16) + 1, 1 << 20})
    void tokensAreThoseOfTheTextInTwoOrFourBytes(int size) throws IOException {
        Path text = text("a.txt", "Whale: κῆτος\n".replace('ῆ', 'η') + "end");
        TokenFile file = of(text, new Characters(size));
        String content = Files.readString(text);
        assertEquals(content.length(), file.length());
        for (int i = 0; i < content.length(); i++) {
            assertEquals(content.charAt(i) + size - 0x400, file.token(i));
        }
        assertEquals(HEADER + content.length() * (size <= 1 << 16 ? 2L : 4L), Files.size(tokens));
        assertEquals(size, file.vocabulary());
        assertEquals((double) Files.size(text) / content.length(), file.bytesPerToken());
        assertEquals(Sha256.of(tokens), file.hash());
        assertEquals(tokenizer, file.tokenizer().orElseThrow());
        assertEquals("tokens", file.unit());
    }

    @Test
    void tokensAreMadeOnce() throws IOException {
        Path text = text("a.txt", "text ".repeat(50));
        Characters vocabulary = new Characters(0x400);
        of(text, vocabulary);
        FileTime time = Files.getLastModifiedTime(tokens);
        assertEquals(250, of(text, vocabulary).length());
        assertEquals(1, vocabulary.pieces().size());
        assertEquals(time, Files.getLastModifiedTime(tokens));
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(3, files.count()); // nothing temporary is left
        }
    }

    @Test
    void anotherTextOrTokenizerIsNoticed() throws IOException {
        Path text = text("a.txt", "some text");
        of(text, new Characters(0x400));
        byte[] before = Files.readAllBytes(tokens);
        Path other = text("b.txt", "other text");
        NibbleException e = assertThrows(NibbleException.class, () -> of(other, new Characters(0x400)));
        assertEquals(
                tokens + " holds tokens of another text, but those of " + other
                        + " are needed; delete it, or name another file in data.tokens",
                e.getMessage());
        Files.writeString(tokenizer, "another tokenizer");
        NibbleException wrong = assertThrows(NibbleException.class, () -> of(text, new Characters(0x400)));
        assertTrue(wrong.getMessage().contains("holds tokens of another tokenizer"), wrong.getMessage());
        assertArrayEquals(before, Files.readAllBytes(tokens));
    }

    @Test
    void filesOfAFolderFollowEachOtherAndDecideTheName() throws IOException {
        text("in/b/z.txt", "3");
        text("in/a.txt", "1");
        text("in/b/a", "2");
        text("in/.git/config", "no");
        text("in/.hidden", "no");
        List<String> names = new ArrayList<>();
        TokenFile file = TokenFile.of(folder.resolve("in"), tokenizer, new Characters(0x400), name -> {
            names.add(name);
            return tokens;
        });
        assertEquals(3, file.length());
        assertArrayEquals(new int[] {'1', '2', '3'}, new int[] {file.token(0), file.token(1), file.token(2)});
        text("in/b/z.txt", "4");
        Files.delete(tokens);
        TokenFile.of(folder.resolve("in"), tokenizer, new Characters(0x400), name -> {
            names.add(name);
            return tokens;
        });
        assertEquals(2, names.stream().distinct().count());
        assertTrue(names.getFirst().matches("[0-9a-f]{32}"), names.getFirst());
    }

    @Test
    void piecesEndAtLineEndsOrBetweenCharacters() throws IOException {
        int most = 1 << 18; // bytes of a piece
        String lines = "abcdefg\n".repeat(most / 8 + 100);
        Characters vocabulary = new Characters(0x400);
        of(text("a.txt", lines), vocabulary);
        assertEquals(
                List.of(most, 800),
                vocabulary.pieces().stream().map(String::length).toList());
        Files.delete(tokens);
        String longLine = "x" + "κ".repeat(most); // a character of two bytes lies across the end of a piece
        Characters another = new Characters(0x400);
        TokenFile file = of(text("b.txt", longLine), another);
        assertEquals(longLine, String.join("", another.pieces()));
        assertEquals(longLine.length(), file.length());
        Files.delete(tokens);
        Characters broken = new Characters(0x400);
        of(text("c.txt", "line\n" + "y".repeat(most)), broken);
        assertEquals(
                List.of("line\n".length(), most),
                broken.pieces().stream().map(String::length).toList());
    }

    @Test
    void whatIsNotUtf8IsNamedWithItsPlace() throws IOException {
        Path text = folder.resolve("latin.txt");
        Files.write(text, "one\ntwo\nd\u00e9j\u00e0".getBytes(StandardCharsets.ISO_8859_1));
        FormatException e = assertThrows(FormatException.class, () -> of(text, new Characters(0x400)));
        assertEquals(
                text + ", line 3: byte 9 is not UTF-8; save the file in UTF-8, or train without model.tokenizer",
                e.getMessage());
        assertFalse(Files.exists(tokens));
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(2, files.count()); // nothing temporary is left
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "0; 8; 0; they do not begin with NIBTOKEN",
                "8; 4; 2; byte 8: the version is 2, but must be 1",
                "12; 4; 3; byte 12: a token has 3 bytes, but must have 2 or 4",
                "12; 4; -1; byte 12: a token has 4294967295 bytes, but must have 2 or 4",
                "16; 8; 9; byte 16: there are to be 9 tokens of 2 bytes, but 16 bytes follow the header",
                "16; 8; -1; byte 16: there are to be 18446744073709551615 tokens",
                "24; 8; -1; byte 24: the text has 18446744073709551615 bytes",
                "32; 4; 0; byte 32: the vocabulary is 0, which does not fit tokens of 2 bytes",
                "32; 4; 65537; byte 32: the vocabulary is 65537, which does not fit tokens of 2 bytes",
                "32; 4; 116; byte 104: token 0 is 116, but the vocabulary is 116",
                "110; 2; 1024; byte 110: token 3 is 1024, but the vocabulary is 1024"
            })
    void damagedFilesAreNamedWithThePlace(int at, int bytes, long value, String problem) throws IOException {
        Path text = text("a.txt", "tokens!\n");
        of(text, new Characters(0x400));
        byte[] all = Files.readAllBytes(tokens);
        ByteBuffer buffer = ByteBuffer.wrap(all).order(ByteOrder.LITTLE_ENDIAN);
        switch (bytes) {
            case 2 -> buffer.putShort(at, (short) value);
            case 4 -> buffer.putInt(at, (int) value);
            default -> buffer.putLong(at, value);
        }
        Files.write(tokens, all);
        FormatException e = assertThrows(FormatException.class, () -> of(text, new Characters(0x400)));
        assertTrue(e.getMessage().startsWith("tokens " + tokens + " are damaged: " + problem), e.getMessage());
        assertTrue(e.getMessage().endsWith("; delete the file, and it is made again"), e.getMessage());
    }

    @Test
    void everyTruncationIsRefused() throws IOException {
        Path text = text("a.txt", "tokens!\n");
        of(text, new Characters(0x400));
        byte[] all = Files.readAllBytes(tokens);
        for (int length = 0; length < all.length; length++) {
            Files.write(tokens, Arrays.copyOf(all, length));
            assertThrows(FormatException.class, () -> of(text, new Characters(0x400)));
        }
    }

    /** What a mutation leaves readable has only tokens of its vocabulary. */
    @Test
    void mutationsAreRefusedOrHarmless() throws IOException {
        Path text = text("a.txt", "tokens!\n");
        of(text, new Characters(0x400));
        byte[] all = Files.readAllBytes(tokens);
        SplittableRandom random = new SplittableRandom(5);
        int refused = 0;
        for (int i = 0; i < 2000; i++) {
            byte[] mutated = all.clone();
            for (int n = random.nextInt(1, 4); n > 0; n--) {
                mutated[random.nextInt(mutated.length)] = (byte) random.nextInt();
            }
            Files.write(tokens, mutated);
            try {
                TokenFile file = TokenFile.open(tokens, tokenizer);
                for (long t = 0; t < file.length(); t++) {
                    assertTrue(file.token(t) >= 0 && file.token(t) < file.vocabulary());
                }
            } catch (FormatException _) {
                refused++;
            }
        }
        assertTrue(refused > 200, refused + " were refused");
    }

    @Test
    void emptyTextHasNoTokens() throws IOException {
        TokenFile file = of(text("a.txt", ""), new Characters(0x400));
        assertEquals(0, file.length());
        NibbleException e = assertThrows(NibbleException.class, () -> file.requireWindows(9));
        assertTrue(e.getMessage().contains("has 0 tokens, but needs at least 90"), e.getMessage());
    }
}
