package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.spi.Names;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code nibble data}: files to train on. */
@Command(
        name = "data",
        versionProvider = Nibble.Version.class,
        sortOptions = false,
        description = {
            "Fetches a data set into a folder, with its licence.",
            "",
            "Contents are compared with hashes that are part of Nibble, so it does not matter where they come from.",
            "A fetch that was cut off goes on when it is started again."
        },
        footer = {
            "",
            "Example: which there are, how large, and under which licence",
            "  nibble data list",
            "Example: fetch one, then train on it",
            "  nibble data fashion-mnist",
            "  nibble train images --data nibble-data/fashion-mnist",
            "Example: from a folder, such as that of a Debian package, or from another server",
            "  nibble data fashion-mnist --from /usr/share/datasets/fashion-mnist",
            "  nibble data mnist --from https://mirror.example.org/mnist/",
            "",
            "The texts of the presets text and classify are part of Nibble: there is nothing to fetch for them."
        })
final class DataCommand implements Action {
    private static final String LIST = "list";

    @Parameters(
            paramLabel = "NAME",
            arity = "0..1",
            defaultValue = LIST,
            description = "The data set, or list (default: ${DEFAULT-VALUE}).")
    String name;

    @Option(
            names = "--from",
            paramLabel = "PLACE",
            description =
                    "A folder with the files, or the address of one (http or https), instead of the places that are known.")
    Optional<String> from;

    @Option(names = "--out", paramLabel = "DIR", description = "Where to put it (default: ./nibble-data/NAME).")
    Optional<Path> out;

    @Mixin
    CommonOptions common;

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) {
        if (name.equals(LIST)) {
            return list();
        }
        DataSet set = DataSet.named(name).orElseThrow(() -> {
            List<String> known =
                    new ArrayList<>(DataSet.all().stream().map(DataSet::name).toList());
            known.add(LIST);
            return new IllegalArgumentException("no data set is named '" + name + "'; " + Names.suggest(name, known));
        });
        List<DataSource> sources = from.map(place -> List.of(source(place)))
                .orElseGet(() -> set.mirrors().stream()
                        .<DataSource>map(DataSource.Web::new)
                        .toList());
        Path folder = out.orElseGet(() -> Path.of("nibble-data", set.name()));
        Consumer<String> progress = common.quiet
                ? _ -> {}
                : line -> {
                    terminal.err().println(line);
                    terminal.err().flush();
                };
        int before = new DataFetch(set, sources, folder, progress).run();
        ObjectNode json = Json.object()
                .put("name", set.name())
                .put("folder", folder.toString())
                .put("files", set.parts().size())
                .put("wereThere", before)
                .put("licence", set.licence());
        String text =
                "%s is in %s: %d files with the right contents (%d were there), licence %s (%s)%nTrain on it: %s %s%n"
                        .formatted(
                                set.name(),
                                folder,
                                set.parts().size(),
                                before,
                                set.licence(),
                                DataFetch.LICENCE,
                                set.use(),
                                folder);
        return Answer.done(json, text);
    }

    /** {@return where a place is: with http or https before a colon on a server, else in a folder} */
    private static DataSource source(String place) {
        if (place.matches("(?i)https?:.*")) {
            try {
                URI uri = new URI(place.endsWith("/") ? place : place + "/");
                if (uri.getHost() == null) {
                    throw new IllegalArgumentException(
                            "--from " + place + " has no host, but must be http://HOST/PATH");
                }
                return new DataSource.Web(uri);
            } catch (URISyntaxException e) {
                throw new IllegalArgumentException("--from " + place + " is no address: " + e.getReason(), e);
            }
        }
        Path folder = Path.of(place);
        if (!Files.isDirectory(folder)) {
            throw new IllegalArgumentException("--from " + place
                    + (Files.exists(folder) ? " is a file" : " does not exist")
                    + ", but must be a folder, or an address that begins with http:// or https://");
        }
        return new DataSource.Folder(folder);
    }

    private static Answer list() {
        ObjectNode json = Json.object();
        ArrayNode array = json.putArray("dataSets");
        StringBuilder text = new StringBuilder();
        for (DataSet set : DataSet.all()) {
            List<String> mirrors = set.mirrors().stream().map(URI::toString).toList();
            ObjectNode entry = array.addObject()
                    .put("name", set.name())
                    .put("about", set.about())
                    .put("licence", set.licence())
                    .put("bytes", set.bytes());
            entry.set("mirrors", Json.array(mirrors));
            entry.put("offline", set.offline());
            text.append("%s: %s%n  %s unpacked, licence %s%n  from %s%n  or: %s%n"
                    .formatted(
                            set.name(),
                            set.about(),
                            Figures.bytes(set.bytes()),
                            set.licence(),
                            String.join(" or ", mirrors),
                            set.offline()));
        }
        return Answer.done(json, text.toString());
    }
}
