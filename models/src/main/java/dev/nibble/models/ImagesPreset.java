package dev.nibble.models;

import static dev.nibble.models.Setting.integer;

import dev.nibble.models.data.ImageBatches;
import dev.nibble.models.data.ImageData;
import dev.nibble.models.layers.MlpKind;
import dev.nibble.models.layers.VitShape;
import dev.nibble.models.layers.VitStyle;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TaskKind;
import dev.nibble.spi.LinearLayer;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * A small vision transformer on the images of IDX files, those of MNIST and of Fashion-MNIST. With images of 28x28, every
 * projection multiplies matrices whose sides are multiples of 128.
 */
final class ImagesPreset implements Preset {
    private static final TrainingSettings TRAINING = new TrainingSettings(600, "0.002", 50, "0.05");

    private static final String STYLE = "model.style";

    @Override
    public String name() {
        return "images";
    }

    @Override
    public String description() {
        return "small vision transformer on IDX files such as Fashion-MNIST, in a folder that --data names";
    }

    @Override
    public TaskKind kind() {
        return TaskKind.CLASSIFICATION;
    }

    @Override
    public List<Setting> settings() {
        return TRAINING.after(ImageDataSettings.after(
                        integer("model.patch", 7, "side of a patch, in pixels; divides those of the images"),
                        integer("model.width", 128, "features of the residual stream"),
                        integer("model.heads", 4, "attention heads"),
                        integer("model.hidden", 256, "features between the linear layers of a feed-forward layer"),
                        integer("model.layers", 4, "blocks"),
                        new Setting(
                                "model.mlp",
                                Setting.Type.TEXT,
                                "swiglu",
                                "the feed-forward layers: swiglu, relu, gelu, or gelu_tanh, its approximation"),
                        new Setting(
                                STYLE,
                                Setting.Type.TEXT,
                                "rms",
                                "rms: RMSNorm, no biases; deit: LayerNorm and biases, with model.mlp=gelu"),
                        AttentionSetting.setting())
                .toArray(Setting[]::new));
    }

    @Override
    public List<LinearLayer> layers(SettingValues values) {
        Problems problems = new Problems();
        ImageDataSettings.check(values, problems);
        problems.check(() -> TRAINING.spec(values));
        Optional<VitShape> shape = problems.collect(() -> shape(values));
        problems.throwIfAny();
        return shape.orElseThrow().planned();
    }

    @Override
    public String ownQuantizer(LinearLayer layer) {
        String name = layer.site().name();
        return name.equals(VitShape.PATCH) || name.equals(VitShape.HEAD) ? "fp32" : "";
    }

    @Override
    public void requireData(SettingValues values) {
        ImageDataSettings.requireData(name(), values, values.integer("model.patch"));
    }

    @Override
    public Task prepare(SettingValues values) {
        requireData(values);
        return ImageDataSettings.task(values, shape(values), TRAINING.spec(values));
    }

    private static VitShape shape(SettingValues values) {
        return new VitShape(
                values.integer("model.patch"),
                values.integer("data.classes"),
                values.integer("model.width"),
                values.integer("model.heads"),
                values.integer("model.hidden"),
                values.integer("model.layers"),
                values.choice("model.mlp", MlpKind.class),
                values.choice(STYLE, VitStyle.class),
                quantizedSequence(values));
    }

    /** Patches of an image, if the products of attention are quantized: only the data says how many there are. */
    private static OptionalInt quantizedSequence(SettingValues values) {
        if (!AttentionSetting.isQuantized(values)) {
            return OptionalInt.empty();
        }
        ImageData.Header header = ImageDataSettings.header("images", values);
        return OptionalInt.of(ImageBatches.tokens(header.rows(), header.cols(), values.integer("model.patch")));
    }
}
