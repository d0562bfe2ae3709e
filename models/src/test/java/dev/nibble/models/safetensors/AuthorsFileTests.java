package dev.nibble.models.safetensors;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A file that the library of the format's authors wrote: authors.py beside it says how. */
class AuthorsFileTests {
    @Test
    void everyTensorHasTheValuesThatWereWritten(@TempDir Path folder) throws IOException {
        Path path = folder.resolve("authors.safetensors");
        try (InputStream in = Objects.requireNonNull(getClass().getResourceAsStream("authors.safetensors"))) {
            Files.copy(in, path);
        }
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertEquals(Map.of("format", "np", "note", "line\nline"), file.metadata());
            assertEquals(8, file.tensors().size());
            float[] thirds = new float[6]; // [2, 3]
            for (int i = 0; i < thirds.length; i++) {
                thirds[i] = i / 3f;
            }
            assertArrayEquals(thirds, file.floats("weight"));
            assertEquals(Shape.of(2, 3), file.tensor("weight").shape());
            assertArrayEquals(new float[] {0x1.998p-4f, -2.5f, 65504f}, file.floats("half"));
            assertArrayEquals(new long[] {-1, 1L << 40}, file.wholes("ids"));
            assertArrayEquals(new long[] {0, 255}, file.wholes("bytes"));
            assertArrayEquals(new long[] {7}, file.wholes("scalar"));
            assertEquals(Shape.of(), file.tensor("scalar").shape());
            assertArrayEquals(new long[] {1}, file.wholes("names may hold \u00e4 and \""));
            assertEquals(Shape.of(0, 4), file.tensor("none").shape());
            assertEquals(ElementType.BOOL, file.tensor("mask").type());
        }
    }
}
