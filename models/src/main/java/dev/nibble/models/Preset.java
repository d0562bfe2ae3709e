package dev.nibble.models;

import dev.nibble.models.train.Task;
import dev.nibble.models.train.TaskKind;
import dev.nibble.spi.LinearLayer;
import java.util.List;

/** A model with data and a training schedule, by name. Immutable. */
public interface Preset {
    /** {@return its name, kebab-case} */
    String name();

    /** {@return what it is, in one line} */
    String description();

    /** {@return what its models learn} */
    TaskKind kind();

    /** {@return what {@code --set} can replace} */
    List<Setting> settings();

    /**
     * {@return the linear layers of the model, in their order}
     *
     * @throws IllegalArgumentException naming every value that does not fit
     */
    List<LinearLayer> layers(SettingValues values);

    /**
     * {@return the name of the quantizer of a layer that no override matches, if it is not the run's: {@code fp32} for
     * a head; else the empty text}
     */
    String ownQuantizer(LinearLayer layer);

    /**
     * Looks, without reading it all, whether the data is there; before anything starts.
     *
     * @param values settings that {@link #layers} accepts
     * @throws IllegalArgumentException if the preset must be told where it is, or if a value does not fit it
     * @throws dev.nibble.error.NibbleException if it is not there
     */
    default void requireData(SettingValues values) {}

    /**
     * Reads the data.
     *
     * @throws IllegalArgumentException naming every value that does not fit
     * @throws dev.nibble.error.NibbleException if the data cannot be read or is too short
     */
    Task prepare(SettingValues values);
}
