package dev.nibble.models.files;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Parse;
import org.snakeyaml.engine.v2.events.AliasEvent;
import org.snakeyaml.engine.v2.events.CollectionStartEvent;
import org.snakeyaml.engine.v2.events.Event;
import org.snakeyaml.engine.v2.events.NodeEvent;
import org.snakeyaml.engine.v2.events.ScalarEvent;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.ReaderException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;

/**
 * Reads one YAML 1.2 document of sections, lists and scalars. What a file that people write by hand has no use for is
 * refused, because it is what makes YAML dangerous: anchors and aliases, tags, a name twice, deep nesting, a large file.
 * No object is ever made from what a document says.
 */
public final class YamlReader {
    private static final int MOST_BYTES = 1 << 20;
    private static final int MOST_LEVELS = 8;
    private static final int MOST_PROBLEMS = 20;
    private static final int MOST_CHARACTERS = 4096; // of a name or value

    private final List<YamlProblem> problems;
    private final Iterator<Event> events;

    private YamlReader(List<YamlProblem> problems, Iterator<Event> events) {
        this.problems = problems;
        this.events = events;
    }

    /** Ends the reading: nothing after it can be understood. */
    private static final class Unreadable extends RuntimeException {
        private static final long serialVersionUID = 1;

        Unreadable() {
            super(null, null, false, false);
        }
    }

    /**
     * {@return the section that the document is; empty if it is none, or if it cannot be read to its end}
     *
     * @param file what to read
     * @param problems gets everything that is wrong
     * @throws NibbleException if the file cannot be read at all
     */
    public static Optional<YamlNode.Mapping> read(Path file, List<YamlProblem> problems) {
        byte[] bytes = bytes(file);
        if (bytes.length > MOST_BYTES) {
            problems.add(new YamlProblem(1, "has more than %d bytes, but may have no more".formatted(MOST_BYTES)));
            return Optional.empty();
        }
        return text(bytes, problems).flatMap(text -> parse(text, problems));
    }

    private static byte[] bytes(Path file) {
        if (!Files.exists(file)) {
            throw new NibbleException(file + " does not exist");
        }
        if (Files.isDirectory(file)) {
            throw new NibbleException(file + " is a folder, but must be a file");
        }
        try (InputStream stream = Files.newInputStream(file)) {
            return stream.readNBytes(MOST_BYTES + 1);
        } catch (IOException e) {
            throw new NibbleException(file + " cannot be read: " + IoReason.of(e), e);
        }
    }

    private static Optional<String> text(byte[] bytes, List<YamlProblem> problems) {
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        try {
            String text = StandardCharsets.UTF_8
                    .newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .decode(buffer)
                    .toString();
            return Optional.of(text.startsWith("\ufeff") ? text.substring(1) : text);
        } catch (CharacterCodingException _) {
            int line = lineAt(new String(bytes, 0, buffer.position(), StandardCharsets.UTF_8));
            problems.add(new YamlProblem(line, "is not UTF-8, but must be"));
            return Optional.empty();
        }
    }

    private static int lineAt(String before) {
        return 1 + (int) before.chars().filter(c -> c == '\n').count();
    }

    /**
     * {@return the section that a text is; empty if it is none, or if it cannot be read to its end}
     *
     * @param text the document
     * @param problems gets everything that is wrong
     */
    static Optional<YamlNode.Mapping> parse(String text, List<YamlProblem> problems) {
        LoadSettings settings = LoadSettings.builder().setUseMarks(true).build();
        try {
            Iterator<Event> events = new Parse(settings).parseString(text).iterator();
            return new YamlReader(problems, events).document();
        } catch (Unreadable _) {
            return Optional.empty();
        } catch (MarkedYamlEngineException e) {
            int line = e.getProblemMark().map(mark -> mark.getLine() + 1).orElse(1);
            boolean sign = String.valueOf(e.getContext()).matches(".*scanning an (alias|anchor).*");
            String help = sign ? "; a text that begins with * or & must stand in quotes" : "";
            problems.add(new YamlProblem(line, "is no YAML: " + YamlText.shown(String.valueOf(e.getProblem())) + help));
        } catch (ReaderException e) {
            int end = text.offsetByCodePoints(0, Math.clamp(e.getPosition(), 0, text.codePointCount(0, text.length())));
            problems.add(new YamlProblem(
                    lineAt(text.substring(0, end)),
                    "has the character U+%04X, which YAML forbids".formatted(e.getCodePoint())));
        } catch (YamlEngineException e) {
            problems.add(new YamlProblem(1, "is no YAML: " + YamlText.shown(String.valueOf(e.getMessage()))));
        }
        return Optional.empty();
    }

    private Optional<YamlNode.Mapping> document() {
        events.next(); // start of the stream
        Event first = events.next();
        if (first.getEventId() == Event.ID.StreamEnd) {
            problems.add(new YamlProblem(1, "is empty"));
            return Optional.empty();
        }
        YamlNode node = node(events.next(), 0);
        events.next(); // end of the document
        Event after = events.next();
        if (after.getEventId() != Event.ID.StreamEnd) {
            problem(line(after), "begins a second document, but there must be one");
        }
        if (node instanceof YamlNode.Mapping mapping) {
            return Optional.of(mapping);
        }
        problem(node.line(), "is " + node.describe() + ", but must be a section: lines of NAME: VALUE");
        return Optional.empty();
    }

    private YamlNode node(Event event, int level) {
        int line = line(event);
        if (level > MOST_LEVELS) {
            problem(line, "is nested more than " + MOST_LEVELS + " levels deep");
            throw new Unreadable();
        }
        if (event instanceof AliasEvent alias) {
            problem(
                    line,
                    "has the alias *" + YamlText.shown(alias.getAlias().getValue())
                            + ", but aliases are not supported; write the value, or put the text in quotes");
            return new YamlNode.Scalar(line, "", false);
        }
        refuseDecoration((NodeEvent) event, line);
        return switch (event.getEventId()) {
            case MappingStart -> mapping(line, level);
            case SequenceStart -> sequence(line, level);
            default -> scalar((ScalarEvent) event, line);
        };
    }

    private void refuseDecoration(NodeEvent event, int line) {
        event.getAnchor()
                .ifPresent(anchor -> problem(
                        line,
                        "has the anchor &" + YamlText.shown(anchor.getValue()) + ", but anchors are not supported"));
        Optional<String> tag =
                event instanceof ScalarEvent scalar ? scalar.getTag() : ((CollectionStartEvent) event).getTag();
        tag.ifPresent(t -> problem(line, "has the tag " + YamlText.shown(t) + ", but tags are not supported"));
    }

    private YamlNode.Scalar scalar(ScalarEvent event, int line) {
        int length = event.getValue().length();
        if (length > MOST_CHARACTERS) {
            problem(
                    line,
                    "has a text of %d characters, but may have no more than %d".formatted(length, MOST_CHARACTERS));
            return new YamlNode.Scalar(line, "", false);
        }
        return new YamlNode.Scalar(line, event.getValue(), event.isPlain());
    }

    private YamlNode sequence(int line, int level) {
        List<YamlNode> items = new ArrayList<>();
        Event next = events.next();
        while (next.getEventId() != Event.ID.SequenceEnd) {
            items.add(node(next, level + 1));
            next = events.next();
        }
        return new YamlNode.Sequence(line, items);
    }

    private YamlNode mapping(int line, int level) {
        SequencedMap<String, YamlNode.Entry> entries = new LinkedHashMap<>();
        Event next = events.next();
        while (next.getEventId() != Event.ID.MappingEnd) {
            YamlNode key = node(next, level + 1);
            YamlNode value = node(events.next(), level + 1);
            if (!(key instanceof YamlNode.Scalar name)) {
                problem(key.line(), "has " + key.describe() + " for a name, but names are texts");
            } else if (entries.containsKey(name.text())) {
                problem(
                        key.line(),
                        "has '" + YamlText.shown(name.text()) + "' again, which line "
                                + entries.get(name.text()).line() + " has already");
            } else {
                entries.put(name.text(), new YamlNode.Entry(key.line(), value));
            }
            next = events.next();
        }
        return new YamlNode.Mapping(line, entries);
    }

    private void problem(int line, String message) {
        problems.add(new YamlProblem(line, message));
        if (problems.size() >= MOST_PROBLEMS) {
            problems.add(new YamlProblem(line, "has more problems than these " + MOST_PROBLEMS));
            throw new Unreadable();
        }
    }

    private static int line(Event event) {
        return event.getStartMark().map(Mark::getLine).orElse(0) + 1;
    }
}
