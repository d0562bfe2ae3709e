package dev.nibble.spi;

import java.util.Collection;
import java.util.Locale;

/** Helps a person who mistyped a name. */
public final class Names {
    private Names() {}

    /**
     * {@return what to say after "unknown name": the known ones, and the nearest}
     *
     * @param name what was typed
     * @param known the names there are
     */
    public static String suggest(String name, Collection<String> known) {
        if (known.isEmpty()) {
            return "there are none";
        }
        String nearest = "";
        int best = Math.max(2, name.length() / 3) + 1; // farther away than this, a guess would be noise
        for (String candidate : known) {
            int distance = distance(name.toLowerCase(Locale.ROOT), candidate.toLowerCase(Locale.ROOT));
            if (distance < best) {
                best = distance;
                nearest = candidate;
            }
        }
        String list = "known: " + String.join(", ", known);
        return nearest.isEmpty() ? list : list + ". Did you mean '" + nearest + "'?";
    }

    /** Edits (insert, delete, replace, each 1) that turn one text into the other. */
    private static int distance(String a, String b) {
        int[] previous = new int[b.length() + 1];
        for (int j = 0; j <= b.length(); j++) {
            previous[j] = j;
        }
        for (int i = 1; i <= a.length(); i++) {
            int[] row = new int[b.length() + 1];
            row[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                int replace = previous[j - 1] + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                row[j] = Math.min(replace, Math.min(previous[j], row[j - 1]) + 1);
            }
            previous = row;
        }
        return previous[b.length()];
    }
}
