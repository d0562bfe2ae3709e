package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;

class ArgsTests {
    @Test
    void valuesLieWhereThePointersSay() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment map = arena.allocate(128);
            map.set(ValueLayout.JAVA_LONG, 120, 77);
            Args args = new Args()
                    .i32(-3)
                    .pointer(0x7F00_1234_5678L)
                    .f32(0.1f)
                    .struct(map)
                    .i64(1L << 40);
            assertEquals(5, args.count());
            assertEquals(-3, args.value(0).get(ValueLayout.JAVA_INT, 0));
            assertEquals(0x7F00_1234_5678L, args.value(1).get(ValueLayout.JAVA_LONG, 0));
            assertEquals(0.1f, args.value(2).get(ValueLayout.JAVA_FLOAT, 0));
            assertEquals(77, args.value(3).get(ValueLayout.JAVA_LONG, 120));
            assertEquals(1L << 40, args.value(4).get(ValueLayout.JAVA_LONG, 0));
            assertEquals(0, args.value(3).address() % 128, "a tensor map is aligned to 128 bytes");
            assertEquals(0, args.value(1).address() % 8);
        }
    }

    @Test
    void clearingBeginsAnew() {
        Args args = new Args().i32(1).about("first");
        assertEquals("first", args.toString());
        args.clear().i32(2);
        assertEquals(1, args.count());
        assertEquals(2, args.value(0).get(ValueLayout.JAVA_INT, 0));
        assertEquals("", args.toString());
    }

    @Test
    void tooManyArgumentsAreRefused() {
        Args args = new Args();
        for (int i = 0; i < 64; i++) {
            args.i32(i);
        }
        assertThrows(IllegalStateException.class, () -> args.i32(64));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment large = arena.allocate(4096);
            Args full = new Args().i32(0);
            assertThrows(IllegalStateException.class, () -> full.struct(large));
        }
    }
}
