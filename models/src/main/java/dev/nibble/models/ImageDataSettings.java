package dev.nibble.models;

import static dev.nibble.models.Setting.integer;

import dev.nibble.models.data.Augmentation;
import dev.nibble.models.data.ImageBatches;
import dev.nibble.models.data.ImageData;
import dev.nibble.models.layers.ImageShape;
import dev.nibble.models.train.ImageTask;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.spi.Names;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The settings {@code data.*} of presets that classify the images of IDX files. */
final class ImageDataSettings {
    private static final String DATA = "data.path";
    private static final String AUGMENT = "data.augment";
    private static final String PADDING = "data.cropPadding";
    private static final String NONE = "none";
    private static final String CROP = "crop";
    private static final String FLIP = "flip";

    private ImageDataSettings() {}

    /** {@return the settings of a preset: its own, then these} */
    static List<Setting> after(Setting... own) {
        List<Setting> settings = new ArrayList<>(List.of(own));
        settings.add(new Setting(DATA, Setting.Type.PATH, "", "folder with the IDX files; the same as --data"));
        settings.add(integer("data.classes", 10, "classes of the labels"));
        settings.add(integer("data.batch", 128, "images in a micro-batch"));
        settings.add(integer("data.validationImages", 0, "test images in an evaluation; 0 for all"));
        settings.add(new Setting(
                AUGMENT,
                Setting.Type.TEXT,
                NONE,
                "how training images change each time they are met: none, crop, flip, or crop,flip"));
        settings.add(integer(PADDING, 4, "pixels that crop adds to each side before it cuts an image of the old size"));
        return settings;
    }

    /** Notes values out of range. */
    static void check(SettingValues values, Problems problems) {
        problems.check(() -> values.requireIn("data.batch", 1, 1 << 20));
        problems.check(() -> values.requireIn("data.validationImages", 0, Integer.MAX_VALUE));
        problems.check(() -> values.requireIn(PADDING, 1, Augmentation.MOST_PADDING));
        problems.check(() -> augmentation(values));
    }

    /**
     * Checks what can be known from the headers of the files.
     *
     * @param patch side of the patches that a model sees
     */
    static void requireData(String preset, SettingValues values, int patch) {
        ImageData.Header header = header(preset, values);
        ImageBatches.tokens(header.rows(), header.cols(), patch);
        ImageTask.checkBatch(values.integer("data.batch"), header.rows(), header.cols());
        ImageTask.checkValidationImages(validationImages(values, header.testImages()), header.testImages());
    }

    private static int validationImages(SettingValues values, int all) {
        int wanted = values.integer("data.validationImages");
        return wanted == 0 ? all : wanted;
    }

    /** {@return what the headers of the files say} */
    static ImageData.Header header(String preset, SettingValues values) {
        if (values.text(DATA).isEmpty()) {
            throw new IllegalArgumentException(
                    "preset " + preset + " has no data, but needs a folder with IDX files; name it with --data DIR");
        }
        return ImageData.header(values.path(DATA));
    }

    /** {@return the task, with all images read} */
    static Task task(SettingValues values, ImageShape shape, TrainingSpec training) {
        ImageData data = ImageData.read(values.path(DATA), values.integer("data.classes"));
        return new ImageTask(
                shape,
                data,
                values.integer("data.batch"),
                validationImages(values, data.test().count()),
                augmentation(values),
                training);
    }

    private static Augmentation augmentation(SettingValues values) {
        List<String> known = List.of(NONE, CROP, FLIP);
        List<String> wanted = Arrays.stream(values.text(AUGMENT).split(",", -1))
                .map(String::strip)
                .toList();
        for (String name : wanted) {
            if (!known.contains(name)) {
                throw new IllegalArgumentException(
                        "setting %s has '%s'; %s".formatted(AUGMENT, name, Names.suggest(name, known)));
            }
        }
        if (wanted.contains(NONE) && wanted.size() > 1) {
            throw new IllegalArgumentException(
                    "setting %s is '%s', but none stands alone".formatted(AUGMENT, values.text(AUGMENT)));
        }
        return new Augmentation(wanted.contains(CROP) ? values.integer(PADDING) : 0, wanted.contains(FLIP));
    }
}
