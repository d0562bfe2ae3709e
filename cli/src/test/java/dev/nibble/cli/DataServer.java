package dev.nibble.cli;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/** A web server on this machine, with files in memory, that can be told to behave badly. One request a connection. */
final class DataServer implements AutoCloseable {
    private final ServerSocket socket = new ServerSocket(0, 8, InetAddress.getLoopbackAddress());
    private final Map<String, byte[]> files = new ConcurrentHashMap<>();
    private final List<String> requests = new CopyOnWriteArrayList<>();
    private volatile int mostSent = Integer.MAX_VALUE;
    private volatile boolean ranges = true;

    DataServer() throws IOException {
        Thread.ofVirtual().start(this::serve);
    }

    String address() {
        return "http://127.0.0.1:" + socket.getLocalPort();
    }

    void put(String path, byte[] bytes) {
        files.put(path, bytes);
    }

    void remove(String path) {
        files.remove(path);
    }

    /** From now on, connections end after so many bytes of a file. */
    void cutAfter(int bytes) {
        mostSent = bytes;
    }

    /** From now on, whoever asks for a part of a file gets the whole. */
    void ignoreRanges() {
        ranges = false;
    }

    /** {@return what was asked for: GET PATH from BYTE} */
    List<String> requests() {
        return requests;
    }

    private void serve() {
        while (!socket.isClosed()) {
            try (Socket connection = socket.accept()) {
                answer(connection);
            } catch (IOException _) {
                // the client went away, or the test is over
            }
        }
    }

    private void answer(Socket connection) throws IOException {
        BufferedReader in =
                new BufferedReader(new InputStreamReader(connection.getInputStream(), StandardCharsets.US_ASCII));
        String path = in.readLine().split(" ", 3)[1];
        int from = 0;
        for (String line = in.readLine(); !line.isEmpty(); line = in.readLine()) {
            if (ranges && line.startsWith("Range: bytes=")) {
                from = Integer.parseInt(line.substring("Range: bytes=".length(), line.length() - 1));
            }
        }
        requests.add("GET " + path + " from " + from);
        byte[] file = files.getOrDefault(path, new byte[0]);
        boolean past = from >= file.length && from > 0;
        String status = !files.containsKey(path)
                ? "404 Not Found"
                : past ? "416 Range Not Satisfiable" : from > 0 ? "206 Partial Content" : "200 OK";
        int length = past ? 0 : file.length - from;
        OutputStream out = connection.getOutputStream();
        out.write("HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
                .formatted(status, length)
                .getBytes(StandardCharsets.US_ASCII));
        out.write(file, Math.min(from, file.length), Math.min(length, mostSent));
        out.flush();
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
