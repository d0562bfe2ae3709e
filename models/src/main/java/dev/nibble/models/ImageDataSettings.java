package dev.nibble.models;

import static dev.nibble.models.Setting.integer;

import dev.nibble.models.data.ImageBatches;
import dev.nibble.models.data.ImageData;
import dev.nibble.models.layers.ImageShape;
import dev.nibble.models.train.ImageTask;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TrainingSpec;
import java.util.ArrayList;
import java.util.List;

/** The settings {@code data.*} of presets that classify the images of IDX files. */
final class ImageDataSettings {
    private static final String DATA = "data.path";

    private ImageDataSettings() {}

    /** {@return the settings of a preset: its own, then these} */
    static List<Setting> after(Setting... own) {
        List<Setting> settings = new ArrayList<>(List.of(own));
        settings.add(new Setting(DATA, Setting.Type.PATH, "", "folder with the IDX files; the same as --data"));
        settings.add(integer("data.classes", 10, "classes of the labels"));
        settings.add(integer("data.batch", 128, "images in a micro-batch"));
        settings.add(integer("data.validationImages", 0, "test images in an evaluation; 0 for all"));
        return settings;
    }

    /** Notes values out of range. */
    static void check(SettingValues values, Problems problems) {
        problems.check(() -> values.requireIn("data.batch", 1, 1 << 20));
        problems.check(() -> values.requireIn("data.validationImages", 0, Integer.MAX_VALUE));
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
                training);
    }
}
