package dev.nibble.models;

import static dev.nibble.models.Setting.integer;

import dev.nibble.models.layers.ResNetShape;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TaskKind;
import dev.nibble.spi.LinearLayer;
import java.util.List;
import java.util.Optional;

/** A residual network on the images of IDX files, those of MNIST and of Fashion-MNIST: ResNet-14, unless settings say otherwise. */
final class ResNetPreset implements Preset {
    private static final TrainingSettings TRAINING = new TrainingSettings(600, "0.002", 50, "0.05");

    @Override
    public String name() {
        return "resnet";
    }

    @Override
    public String description() {
        return "residual network on IDX files such as Fashion-MNIST, in a folder that --data names";
    }

    @Override
    public TaskKind kind() {
        return TaskKind.CLASSIFICATION;
    }

    @Override
    public List<Setting> settings() {
        return TRAINING.after(ImageDataSettings.after(
                        integer(
                                "model.width",
                                16,
                                "channels of the first stage; the second and third have 2 and 4 times as many"),
                        integer("model.blocks", 2, "residual blocks of each of the three stages"),
                        new Setting(
                                "model.block",
                                Setting.Type.TEXT,
                                "basic",
                                "the blocks: basic, two 3x3 convolutions, or bottleneck, 1x1, 3x3 and 1x1"))
                .toArray(Setting[]::new));
    }

    @Override
    public List<LinearLayer> layers(SettingValues values) {
        Problems problems = new Problems();
        ImageDataSettings.check(values, problems);
        problems.check(() -> TRAINING.spec(values));
        Optional<ResNetShape> shape = problems.collect(() -> shape(values));
        problems.throwIfAny();
        return shape.orElseThrow().planned();
    }

    @Override
    public String ownQuantizer(LinearLayer layer) {
        String name = layer.site().name();
        return name.equals(ResNetShape.STEM) || name.equals(ResNetShape.HEAD) ? "fp32" : "";
    }

    @Override
    public void requireData(SettingValues values) {
        ImageDataSettings.requireData(name(), values, shape(values).patch());
    }

    @Override
    public Task prepare(SettingValues values) {
        requireData(values);
        return ImageDataSettings.task(values, shape(values), TRAINING.spec(values));
    }

    private static ResNetShape shape(SettingValues values) {
        return new ResNetShape(
                values.integer("model.width"),
                values.integer("model.blocks"),
                values.choice("model.block", ResNetShape.Kind.class),
                values.integer("data.classes"));
    }
}
