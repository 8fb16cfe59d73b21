package ledgermq.pop;

import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** What a scenario expects; a failed expectation is an AssertionError with both sides. */
final class Check {
    private static final long PATIENCE_MS = TimeUnit.SECONDS.toMillis(60);
    private static final long LOOK_MS = 50;

    static void equal(Object wanted, Object found, String what) {
        if (!Objects.equals(wanted, found)) {
            throw new AssertionError(what + ": wanted " + wanted + ", found " + found);
        }
    }

    static void holds(boolean condition, String what) {
        if (!condition) throw new AssertionError(what);
    }

    /** Waits for what clients do in threads of their own. */
    static void until(Callable<Boolean> condition, Supplier<String> state) throws Exception {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
        while (!condition.call()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("not within " + PATIENCE_MS + " ms: " + state.get());
            }
            Thread.sleep(LOOK_MS);
        }
    }

    private Check() {}
}
