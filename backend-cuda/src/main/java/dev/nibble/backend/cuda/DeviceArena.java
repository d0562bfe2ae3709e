package dev.nibble.backend.cuda;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Hands out pieces of large segments. A piece is taken from the first segment, and there from the lowest address, that has room:
 * so from the same live pieces, the same calls get the same addresses. Memory that is added because nothing had room lies
 * behind all other, hence a second round finds its pieces in the places of the first.
 */
final class DeviceArena {
    /** Alignment and unit of pieces, in bytes. */
    static final long UNIT = 256;

    private static final long CHUNK = 32L << 20; // bytes that are added, unless a piece needs more
    private static final long PAGE = 2L << 20; // what chunks are multiples of

    /** Where memory comes from. */
    interface Source {
        /** {@return whether new memory lies right behind that which was added last; both become one} */
        boolean joins();

        /** {@return the address of new memory} */
        long acquire(long bytes);

        /** Gives memory back, of a segment that which was added last first. */
        void release(long address);
    }

    private static final class Segment {
        final long base;
        final Deque<Long> chunks = new ArrayDeque<>(); // addresses, lowest first
        final TreeMap<Long, Long> free = new TreeMap<>(); // address to bytes
        long end;

        Segment(long base) {
            this.base = base;
            this.end = base;
        }

        void extend(long bytes) {
            chunks.addLast(end);
            insert(end, bytes);
            end += bytes;
        }

        /** {@return bytes at its end that are free} */
        long tail() {
            Map.Entry<Long, Long> last = free.lastEntry();
            return last != null && last.getKey() + last.getValue() == end ? last.getValue() : 0;
        }

        void insert(long address, long bytes) {
            long from = address;
            long length = bytes;
            Map.Entry<Long, Long> before = free.lowerEntry(address);
            if (before != null && before.getKey() + before.getValue() == address) {
                from = before.getKey();
                length += before.getValue();
            }
            Long after = free.remove(address + bytes);
            free.put(from, after == null ? length : length + after);
        }

        /** {@return the address of the last chunk, which is cut off} */
        long cut() {
            long chunk = chunks.removeLast();
            Map.Entry<Long, Long> last = free.lastEntry();
            free.remove(last.getKey());
            if (last.getKey() < chunk) {
                free.put(last.getKey(), chunk - last.getKey());
            }
            end = chunk;
            return chunk;
        }
    }

    private final Source source;
    private final List<Segment> segments = new ArrayList<>(); // in the order they were added
    private final TreeMap<Long, Segment> byBase = new TreeMap<>();
    private long reserved; // bytes of all segments

    DeviceArena(Source source) {
        this.source = source;
    }

    /** {@return bytes that a request takes} */
    static long rounded(long bytes) {
        return Math.ceilDiv(bytes, UNIT) * UNIT;
    }

    /**
     * {@return the address of a piece, a multiple of 256}
     *
     * @param bytes at least 1; rounded up to a multiple of 256
     */
    long allocate(long bytes) {
        long needed = rounded(bytes);
        for (Segment segment : segments) {
            for (Map.Entry<Long, Long> piece : segment.free.entrySet()) {
                if (piece.getValue() >= needed) {
                    return take(segment, piece.getKey(), piece.getValue(), needed);
                }
            }
        }
        Segment grown = grow(needed);
        Map.Entry<Long, Long> piece = grown.free.lastEntry();
        return take(grown, piece.getKey(), piece.getValue(), needed);
    }

    /** {@return the last segment, with room at its end for a piece} */
    private Segment grow(long needed) {
        long tail = source.joins() && !segments.isEmpty() ? segments.getLast().tail() : 0;
        long size = Math.max(CHUNK, Math.ceilDiv(needed - tail, PAGE) * PAGE);
        long address = source.acquire(size);
        if (segments.isEmpty() || !source.joins()) {
            Segment added = new Segment(address);
            segments.add(added);
            byBase.put(address, added);
        }
        Segment last = segments.getLast();
        last.extend(size);
        reserved += size;
        return last;
    }

    private static long take(Segment segment, long address, long length, long needed) {
        segment.free.remove(address);
        if (length > needed) {
            segment.free.put(address + needed, length - needed);
        }
        return address;
    }

    /**
     * Takes a piece back.
     *
     * @param bytes as they were asked for
     */
    void free(long address, long bytes) {
        byBase.floorEntry(address).getValue().insert(address, rounded(bytes));
    }

    /** {@return whether memory at the ends of segments held nothing: it is given back} */
    boolean trim() {
        boolean any = false;
        for (Segment segment : List.copyOf(segments)) {
            while (!segment.chunks.isEmpty() && segment.tail() >= segment.end - segment.chunks.getLast()) {
                long end = segment.end;
                long chunk = segment.cut();
                source.release(chunk);
                reserved -= end - chunk;
                any = true;
            }
            if (segment.chunks.isEmpty()) {
                segments.remove(segment);
                byBase.remove(segment.base);
            }
        }
        return any;
    }

    /** {@return bytes of all segments} */
    long reserved() {
        return reserved;
    }
}
