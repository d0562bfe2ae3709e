package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DeviceArenaTests {
    private static final long MIB = 1 << 20;
    private static final long FIRST = 0x7000_0000_0000L;

    /** Hands out addresses: each behind the last, or anywhere, later ones not always higher. */
    private static final class Memory implements DeviceArena.Source {
        private final Map<Long, Long> held = new HashMap<>();
        private final boolean joins;
        private long end = FIRST;
        private int count;

        Memory(boolean joins) {
            this.joins = joins;
        }

        @Override
        public boolean joins() {
            return joins;
        }

        @Override
        public long acquire(long bytes) {
            count++;
            long address = joins ? end : FIRST + (count % 2 == 0 ? -1L : 1L) * count * (1L << 40);
            end = address + bytes;
            held.put(address, bytes);
            return address;
        }

        @Override
        public void release(long address) {
            assertTrue(held.containsKey(address), "a segment is given back that is not held");
            long bytes = held.remove(address);
            if (joins) {
                assertEquals(end, address + bytes, "memory that joins is given back from its end");
                end = address;
            }
        }
    }

    private record Piece(long address, long bytes) {}

    /** A step: pieces of many sizes, freed in another order, some early. */
    private static List<Long> step(DeviceArena arena, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        List<Long> addresses = new ArrayList<>();
        List<Piece> live = new ArrayList<>();
        for (int i = 0; i < 400; i++) {
            if (!live.isEmpty() && random.nextInt(3) == 0) {
                Piece piece = live.remove(random.nextInt(live.size()));
                arena.free(piece.address(), piece.bytes());
            }
            long bytes = 1 + random.nextLong(i % 50 == 0 ? 60 * MIB : MIB);
            Piece piece = new Piece(arena.allocate(bytes), bytes);
            live.add(piece);
            addresses.add(piece.address());
        }
        live.forEach(piece -> arena.free(piece.address(), piece.bytes()));
        return addresses;
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void sameCallsGetSameAddressesFromTheFirstRoundOn(boolean joins) {
        DeviceArena arena = new DeviceArena(new Memory(joins));
        List<Long> first = step(arena, 1);
        assertEquals(first, step(arena, 1));
        assertNotEquals(first, step(arena, 2));
        assertEquals(first, step(arena, 1), "another step between does not matter, though it added segments");
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void livePiecesNeverOverlapAndAreAligned(boolean joins) {
        Memory memory = new Memory(joins);
        DeviceArena arena = new DeviceArena(memory);
        SplittableRandom random = new SplittableRandom(3);
        TreeMap<Long, Long> live = new TreeMap<>(); // address to bytes
        for (int i = 0; i < 5000; i++) {
            if (live.size() > 100) {
                long address = new ArrayList<>(live.keySet()).get(random.nextInt(live.size()));
                arena.free(address, live.remove(address));
            }
            long bytes = 1 + random.nextLong(MIB);
            long address = arena.allocate(bytes);
            assertEquals(0, address % DeviceArena.UNIT);
            Map.Entry<Long, Long> before = live.floorEntry(address);
            Map.Entry<Long, Long> after = live.ceilingEntry(address);
            assertTrue(before == null || before.getKey() + before.getValue() <= address, "overlaps the piece below");
            assertTrue(after == null || address + bytes <= after.getKey(), "overlaps the piece above");
            live.put(address, bytes);
        }
        live.forEach(arena::free);
        assertTrue(arena.trim(), "segments that hold nothing are given back");
        assertEquals(Map.of(), memory.held);
    }

    @Test
    void neighboursThatAreFreeBecomeOne() {
        Memory memory = new Memory(false);
        DeviceArena arena = new DeviceArena(memory);
        long a = arena.allocate(10 * MIB);
        long b = arena.allocate(10 * MIB);
        long c = arena.allocate(12 * MIB);
        assertEquals(a + 10 * MIB, b);
        arena.free(a, 10 * MIB);
        arena.free(c, 12 * MIB);
        arena.free(b, 10 * MIB);
        assertEquals(a, arena.allocate(32 * MIB), "the whole segment is free again");
        assertEquals(1, memory.held.size());
    }

    @Test
    void aSegmentInUseIsNotGivenBack() {
        Memory memory = new Memory(false);
        DeviceArena arena = new DeviceArena(memory);
        long piece = arena.allocate(1);
        assertFalse(arena.trim());
        assertEquals(1, memory.held.size());
        arena.free(piece, 1);
        assertTrue(arena.trim());
        assertEquals(0, arena.reserved());
    }

    @Test
    void aLargePieceHasASegmentOfItsSize() {
        DeviceArena arena = new DeviceArena(new Memory(false));
        arena.allocate(5L << 30);
        assertEquals(5L << 30, arena.reserved());
    }

    @Test
    void aLargePieceBeginsInTheRoomThatWasLeft() {
        Memory memory = new Memory(true);
        DeviceArena arena = new DeviceArena(memory);
        long small = arena.allocate(MIB);
        long large = arena.allocate(100 * MIB);
        assertEquals(small + MIB, large);
        assertEquals(102 * MIB, arena.reserved());
        arena.free(small, MIB);
        arena.free(large, 100 * MIB);
        assertTrue(arena.trim());
        assertEquals(Map.of(), memory.held);
        assertEquals(small, arena.allocate(5), "the arena begins anew");
    }

    @Test
    void onlyWhatIsFreeAtTheEndIsGivenBack() {
        Memory memory = new Memory(true);
        DeviceArena arena = new DeviceArena(memory);
        long first = arena.allocate(32 * MIB);
        long second = arena.allocate(32 * MIB);
        long third = arena.allocate(40 * MIB);
        arena.free(first, 32 * MIB);
        arena.free(third, 40 * MIB);
        assertTrue(arena.trim());
        assertEquals(64 * MIB, arena.reserved(), "the second piece lies behind the first");
        assertEquals(first, arena.allocate(32 * MIB));
        assertEquals(third, arena.allocate(MIB));
        assertEquals(second + 32 * MIB, third);
    }

    @Test
    void sizesAreRoundedUp() {
        assertEquals(0, DeviceArena.rounded(0));
        assertEquals(256, DeviceArena.rounded(1));
        assertEquals(256, DeviceArena.rounded(256));
        assertEquals(512, DeviceArena.rounded(257));
    }
}
