package dev.nibble.architecture.planted;

import com.google.inject.Injector;
import jakarta.inject.Inject;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.util.Random;
import java.util.concurrent.ThreadLocalRandom;
import jdk.incubator.vector.FloatVector;

/** Breaks each rule in a nested class; is itself public in a package that a plug-in would not export. */
public final class Planted {
    private Planted() {}

    /** Calls native code outside a backend. */
    public static final class NativeCaller {
        Linker linker() {
            return Linker.nativeLinker();
        }
    }

    /** Looks up a native symbol outside a backend. */
    public static final class SymbolFinder {
        SymbolLookup symbols() {
            return SymbolLookup.loaderLookup();
        }
    }

    /** Draws from a generator that is not ours. */
    public static final class RandomUser {
        int draw() {
            return new Random(1).nextInt();
        }
    }

    /** Draws what no seed fixes. */
    public static final class ThreadLocalRandomUser {
        int draw() {
            return ThreadLocalRandom.current().nextInt();
        }
    }

    /** Draws without naming a generator. */
    public static final class MathRandomUser {
        double draw() {
            return Math.random();
        }
    }

    /** Writes to standard output from a library. */
    public static final class Printer {
        void print() {
            System.out.println("planted");
        }
    }

    /** Writes to standard error from a library. */
    public static final class ErrorPrinter {
        void print() {
            System.err.println("planted");
        }
    }

    /** Uses the Vector API outside the CPU backend. */
    public static final class VectorUser {
        int lanes() {
            return FloatVector.SPECIES_PREFERRED.length();
        }
    }

    /** Knows Guice outside the models. */
    public static final class GuiceUser {
        Object create(Injector injector) {
            return injector.getInstance(Object.class);
        }
    }

    /** Asks for injection outside the models. */
    public static final class Injected {
        @Inject
        Injected() {}
    }
}
