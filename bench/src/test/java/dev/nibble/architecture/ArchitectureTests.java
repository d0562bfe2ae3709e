package dev.nibble.architecture;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.lang.ArchRule;
import dev.nibble.architecture.planted.Planted;
import dev.nibble.architecture.planted.ring.left.Left;
import dev.nibble.architecture.planted.ring.right.Right;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.QuantizerProvider;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.security.SecureRandom;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.concurrent.ThreadLocalRandom;
import org.junit.jupiter.api.Test;

/**
 * What module descriptors cannot say. Every rule runs on the compiled main code of all modules, and once on a planted
 * offender, to show that it can fail.
 */
class ArchitectureTests {
    private static final ArchRule NO_PACKAGE_CYCLES =
            slices().matching("dev.nibble.(**)").should().beFreeOfCycles();

    private static final ArchRule NATIVE_CALLS_ONLY_IN_BACKENDS = noClasses()
            .that()
            .resideOutsideOfPackages("dev.nibble.backend..", "dev.nibble.bench..")
            .should()
            .dependOnClassesThat()
            .belongToAnyOf(Linker.class, SymbolLookup.class)
            .because("native code is a backend's business");

    private static final ArchRule NO_RANDOMNESS_BUT_OURS = noClasses()
            .should()
            .dependOnClassesThat(resideInAPackage("java.util.random..")
                    .or(JavaClass.Predicates.belongToAnyOf(
                            Random.class, SplittableRandom.class, ThreadLocalRandom.class, SecureRandom.class)))
            .orShould()
            .callMethod(Math.class, "random")
            .orShould()
            .callMethod(StrictMath.class, "random")
            .because("a draw is a function of the seed and an index: use dev.nibble.random");

    private static final ArchRule CONSOLE_ONLY_IN_CLI = noClasses()
            .that()
            .resideOutsideOfPackage("dev.nibble.cli..")
            .should()
            .accessField(System.class, "out")
            .orShould()
            .accessField(System.class, "err")
            .because("a library logs by System.Logger; standard output belongs to the application");

    private static final ArchRule PUBLIC_TYPES_ARE_PROVIDERS = classes()
            .that(new DescribedPredicate<JavaClass>("are visible outside their package") {
                @Override
                public boolean test(JavaClass type) {
                    return type.getModifiers().contains(JavaModifier.PUBLIC)
                            && type.getEnclosingClass().map(this::test).orElse(true);
                }
            })
            .should()
            .beAssignableTo(QuantizerProvider.class)
            .orShould()
            .beAssignableTo(BackendProvider.class)
            .because("a plug-in is reached by name; all else in it is package-private");

    private static final ArchRule VECTOR_API_ONLY_IN_CPU_BACKEND = noClasses()
            .that()
            .resideOutsideOfPackage("dev.nibble.backend.cpu..")
            .should()
            .dependOnClassesThat()
            .resideInAPackage("jdk.incubator.vector..");

    private static final ArchRule INJECTION_ONLY_IN_MODELS = noClasses()
            .that()
            .resideOutsideOfPackage("dev.nibble.models..")
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("com.google.inject..", "jakarta.inject..")
            .because("others reach the wiring through dev.nibble.models");

    @Test
    void noPackageCyclesWithinAModule() {
        for (Reactor module : Reactor.values()) {
            NO_PACKAGE_CYCLES.check(module.classes());
        }
    }

    @Test
    void packageCycleIsSeen() {
        assertFails(NO_PACKAGE_CYCLES, "Cycle detected", Left.class, Right.class);
    }

    @Test
    void nativeCallsOnlyInBackends() {
        NATIVE_CALLS_ONLY_IN_BACKENDS.check(Reactor.allClasses());
    }

    @Test
    void nativeCallElsewhereIsSeen() {
        assertFails(NATIVE_CALLS_ONLY_IN_BACKENDS, "Linker", Planted.NativeCaller.class);
        assertFails(NATIVE_CALLS_ONLY_IN_BACKENDS, "SymbolLookup", Planted.SymbolFinder.class);
    }

    @Test
    void noRandomnessButOurs() {
        NO_RANDOMNESS_BUT_OURS.check(Reactor.allClasses());
    }

    @Test
    void otherRandomnessIsSeen() {
        assertFails(NO_RANDOMNESS_BUT_OURS, "java.util.Random", Planted.RandomUser.class);
        assertFails(NO_RANDOMNESS_BUT_OURS, "ThreadLocalRandom", Planted.ThreadLocalRandomUser.class);
        assertFails(NO_RANDOMNESS_BUT_OURS, "Math.random", Planted.MathRandomUser.class);
    }

    @Test
    void consoleOnlyInCli() {
        CONSOLE_ONLY_IN_CLI.check(Reactor.allClasses());
    }

    @Test
    void consoleElsewhereIsSeen() {
        assertFails(CONSOLE_ONLY_IN_CLI, "System.out", Planted.Printer.class);
        assertFails(CONSOLE_ONLY_IN_CLI, "System.err", Planted.ErrorPrinter.class);
    }

    @Test
    void publicTypesOfPluginsAreProviders() {
        for (Reactor module : Reactor.PLUGINS) {
            PUBLIC_TYPES_ARE_PROVIDERS.check(module.classes());
        }
    }

    @Test
    void publicTypeThatIsNoProviderIsSeen() {
        assertFails(PUBLIC_TYPES_ARE_PROVIDERS, "Planted", Planted.class);
    }

    @Test
    void vectorApiOnlyInCpuBackend() {
        VECTOR_API_ONLY_IN_CPU_BACKEND.check(Reactor.allClasses());
    }

    @Test
    void vectorApiElsewhereIsSeen() {
        assertFails(VECTOR_API_ONLY_IN_CPU_BACKEND, "FloatVector", Planted.VectorUser.class);
    }

    @Test
    void injectionOnlyInModels() {
        INJECTION_ONLY_IN_MODELS.check(Reactor.allClasses());
    }

    @Test
    void injectionElsewhereIsSeen() {
        assertFails(INJECTION_ONLY_IN_MODELS, "com.google.inject", Planted.GuiceUser.class);
        assertFails(INJECTION_ONLY_IN_MODELS, "jakarta.inject", Planted.Injected.class);
    }

    private static void assertFails(ArchRule rule, String messagePart, Class<?>... offenders) {
        JavaClasses seen = new ClassFileImporter().importClasses(offenders);
        String message =
                assertThrows(AssertionError.class, () -> rule.check(seen)).getMessage();
        assertTrue(message.contains(messagePart), message);
    }
}
