package dev.nibble.cli;

import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URLConnection;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Where files of a data set come from. */
sealed interface DataSource {
    /** {@return the names under which a file may be there, the likeliest first} */
    List<String> names(String part);

    /** {@return how messages call a file there} */
    String place(String name);

    /**
     * {@return the bytes of a file}
     *
     * @param name under which it is there
     * @param from how many of its first bytes are not needed
     * @throws NoSuchFileException if it is not there
     * @throws IOException if it cannot be read
     */
    Content open(String name, long from) throws IOException;

    /**
     * Some bytes of a file.
     *
     * @param stream closed by the caller
     * @param from how many bytes of the file are before them; a server may send them all
     */
    record Content(InputStream stream, long from) {}

    /**
     * A folder.
     *
     * @param path where it is
     */
    record Folder(Path path) implements DataSource {
        @Override
        public List<String> names(String part) {
            List<String> names = new ArrayList<>();
            for (String name : List.of(part, part.replace("-idx", ".idx"))) {
                names.add(name + ".gz");
                names.add(name);
            }
            return names;
        }

        @Override
        public String place(String name) {
            return path.resolve(name).toString();
        }

        @Override
        public Content open(String name, long from) throws IOException {
            return new Content(Files.newInputStream(path.resolve(name)), 0);
        }
    }

    /**
     * Files on a web server.
     *
     * @param folder address that their names are appended to, with a slash at its end
     */
    record Web(URI folder) implements DataSource {
        private static final int CONNECT_MILLIS = 20_000;
        private static final int READ_MILLIS = 60_000; // without a byte
        private static final int PARTIAL = 206;
        private static final int PAST_THE_END = 416;

        @Override
        public List<String> names(String part) {
            return List.of(part + ".gz", part);
        }

        @Override
        public String place(String name) {
            return folder + name;
        }

        @Override
        public Content open(String name, long from) throws IOException {
            HttpURLConnection connection = request(name, from);
            int status = connection.getResponseCode();
            if (status == PAST_THE_END && from > 0) {
                connection.disconnect();
                connection = request(name, 0);
                status = connection.getResponseCode();
            }
            if (status == HttpURLConnection.HTTP_NOT_FOUND) {
                throw new NoSuchFileException(place(name));
            }
            if (status != HttpURLConnection.HTTP_OK && status != PARTIAL) {
                throw new IOException("the server answers " + status + " " + connection.getResponseMessage());
            }
            return new Content(connection.getInputStream(), status == PARTIAL ? from : 0);
        }

        private HttpURLConnection request(String name, long from) throws IOException {
            URLConnection connection = folder.resolve(name).toURL().openConnection();
            connection.setConnectTimeout(CONNECT_MILLIS);
            connection.setReadTimeout(READ_MILLIS);
            if (from > 0) {
                connection.setRequestProperty("Range", "bytes=" + from + "-");
            }
            return (HttpURLConnection) connection;
        }
    }
}
