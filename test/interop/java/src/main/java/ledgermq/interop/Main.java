package ledgermq.interop;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Runs all scenarios against the name server of the first argument, some side by side, and prints TAP. */
public final class Main {
    private static final int SIDE_BY_SIDE = 4;

    interface Scenario {
        void run(Clients clients) throws Exception;
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 1) {
            System.err.println("Usage: Main HOST:PORT");
            System.exit(2);
        }
        Map<String, Scenario> scenarios = new LinkedHashMap<>();
        scenarios.put("a synchronous send says where the message lies", Sending::synchronous);
        scenarios.put("asynchronous sends call back, each once", Sending::asynchronous);
        scenarios.put("one-way sends arrive", Sending::oneWay);
        scenarios.put("a batch is stored as its messages, in order", Sending::batch);
        scenarios.put("large and compressible bodies come back unchanged", Sending::largeBodies);
        scenarios.put("properties, keys, tags and flag come back unchanged", Sending::properties);
        scenarios.put("what a selector sends to one queue is consumed in order", Consuming::ordered);
        scenarios.put("a push consumer gets every message once", Consuming::push);
        scenarios.put("two push consumers of a group share the queues", Consuming::shared);
        scenarios.put("a lite pull consumer goes on where its group stopped", Consuming::litePull);
        scenarios.put("a delayed message comes at its time", Consuming::delayed);
        scenarios.put("RECONSUME_LATER brings the message again", Consuming::retry);
        scenarios.put("tags are filtered", Consuming::tags);
        scenarios.put("broadcasting gives every consumer everything", Consuming::broadcast);
        System.exit(run(scenarios, args[0]) ? 0 : 1);
    }

    private static boolean run(Map<String, Scenario> scenarios, String nameServer) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(SIDE_BY_SIDE);
        List<Future<String>> results = new ArrayList<>();
        for (Scenario scenario : scenarios.values()) {
            results.add(pool.submit(() -> problem(scenario, nameServer)));
        }
        System.out.println("TAP version 13");
        System.out.println("1.." + scenarios.size());
        boolean passed = true;
        int number = 0;
        for (String name : scenarios.keySet()) {
            String problem = results.get(number).get();
            number += 1;
            System.out.println((problem == null ? "ok " : "not ok ") + number + " - " + name);
            if (problem != null) {
                passed = false;
                System.out.println("# " + problem.replace("\n", "\n# "));
            }
        }
        pool.shutdown();
        return passed;
    }

    /** Null when the scenario holds. */
    private static String problem(Scenario scenario, String nameServer) {
        try (Clients clients = new Clients(nameServer)) {
            scenario.run(clients);
            return null;
        } catch (Exception | AssertionError error) {
            StringBuilder text = new StringBuilder(error.toString());
            for (StackTraceElement frame : error.getStackTrace()) {
                if (frame.getClassName().startsWith("ledgermq.")) text.append("\nat ").append(frame);
            }
            return text.toString();
        }
    }

    private Main() {}
}
