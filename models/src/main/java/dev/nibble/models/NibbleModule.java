package dev.nibble.models;

import com.google.inject.AbstractModule;
import com.google.inject.Singleton;
import com.google.inject.multibindings.MapBinder;
import com.google.inject.multibindings.OptionalBinder;
import dev.nibble.spi.BackendChoice;
import dev.nibble.spi.Plugins;
import java.util.List;

/**
 * Wires {@link Runs}. An application replaces a look-up with {@code OptionalBinder.newOptionalBinder(binder(),
 * QuantizerLookup.class).setBinding()} in a module of its own, adds a preset with {@code MapBinder.newMapBinder(binder(),
 * String.class, Preset.class).addBinding(name)}, and replaces anything else with {@code Modules.override}.
 */
public final class NibbleModule extends AbstractModule {
    /** Makes the module. */
    public NibbleModule() {}

    @Override
    protected void configure() {
        binder().requireExplicitBindings();
        binder().requireAtInjectOnConstructors();
        binder().disableCircularProxies();
        OptionalBinder.newOptionalBinder(binder(), QuantizerLookup.class)
                .setDefault()
                .toInstance(name -> Plugins.quantizers().get(name));
        OptionalBinder.newOptionalBinder(binder(), BackendLookup.class)
                .setDefault()
                .toInstance(name -> BackendChoice.of(name).provider());
        MapBinder<String, Preset> presets = MapBinder.newMapBinder(binder(), String.class, Preset.class);
        for (Preset preset : List.of(
                new TextPreset(), new ImagesPreset(), new ResNetPreset(), new ClassifyPreset(), new TagPreset())) {
            presets.addBinding(preset.name()).toInstance(preset);
        }
        bind(Runs.class).in(Singleton.class);
    }
}
