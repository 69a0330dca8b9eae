import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Two members of one group: the first has all partitions, the second joins and has half, goes, comes back, the first goes. Each step is
 * printed when it holds. Arguments: topic, partitions, count (records in it), group, protocol and protocol2 (classic, consumer), assignor and assignor2,
 * static (true: the second has an instance id).
 */
public final class Groups {
    private static Options options;
    private static final Set<String> read = ConcurrentHashMap.newKeySet();

    static final class Member extends Thread {
        private final Properties settings;
        volatile boolean stop;
        volatile Set<TopicPartition> assignment = Set.of();
        volatile Throwable failure;

        Member(String which) {
            String protocol = options.get("protocol" + which, options.get("protocol"));
            settings = options.client("group.id", options.get("group"), "group.protocol", protocol, "auto.offset.reset", "earliest",
                "enable.auto.commit", "false", "key.deserializer", StringDeserializer.class.getName(), "value.deserializer",
                StringDeserializer.class.getName());
            String assignor = options.get("assignor" + which, options.get("assignor", ""));
            if (!assignor.isEmpty()) {
                settings.setProperty(protocol.equals("consumer") ? "group.remote.assignor" : "partition.assignment.strategy",
                    protocol.equals("consumer") ? assignor : "org.apache.kafka.clients.consumer." + assignor);
            }
            if (!which.isEmpty() && options.get("static", "").equals("true")) {
                settings.setProperty("group.instance.id", "static");
            }
            start();
        }

        @Override
        public void run() {
            try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
                consumer.subscribe(List.of(options.get("topic")));
                while (!stop) {
                    for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(50))) {
                        read.add(r.partition() + "@" + r.offset());
                    }
                    try {
                        consumer.commitSync();
                    } catch (RebalanceInProgressException | CommitFailedException e) {
                        // The next poll joins again; what was not committed is read again.
                    }
                    assignment = new HashSet<>(consumer.assignment());
                }
            } catch (Throwable t) {
                failure = t;
            }
        }

        void leave() throws InterruptedException {
            stop = true;
            join();
            check(this);
        }
    }

    interface Condition {
        boolean holds();
    }

    private static void check(Member... members) {
        for (Member m : members) {
            if (m.failure != null) {
                throw new IllegalStateException(m.failure);
            }
        }
    }

    private static void await(String what, Condition c, Member... members) throws InterruptedException {
        for (long end = System.nanoTime() + 90_000_000_000L; !c.holds(); Thread.sleep(20)) {
            check(members);
            if (System.nanoTime() > end) {
                StringBuilder has = new StringBuilder();
                for (Member m : members) {
                    has.append(' ').append(m.assignment);
                }
                throw new IllegalStateException("not within 90 s: " + what + ", assigned:" + has);
            }
        }
        System.out.println(what);
    }

    public static void main(String[] args) throws Exception {
        options = new Options(args);
        int all = options.number("partitions", 6);
        Member first = new Member("");
        await("first has all", () -> first.assignment.size() == all, first);
        Member second = new Member("2");
        await("shared", () -> first.assignment.size() == all / 2 && second.assignment.size() == all / 2, first, second);
        await("all read", () -> read.size() == options.number("count", 0), first, second);
        Set<TopicPartition> had = second.assignment;
        second.leave();
        Member again = new Member("2");
        if (options.get("static", "").equals("true")) {
            await("back to the same", () -> again.assignment.equals(had), again);
        } else {
            await("back", () -> first.assignment.size() == all / 2 && again.assignment.size() == all / 2, first, again);
        }
        first.leave();
        await("second has all", () -> again.assignment.size() == all, again);
        again.leave();
        try (Admin admin = Admin.create(options.client())) {
            long sum = 0;
            Map<TopicPartition, OffsetAndMetadata> offsets =
                admin.listConsumerGroupOffsets(options.get("group")).partitionsToOffsetAndMetadata().get();
            for (OffsetAndMetadata o : offsets.values()) {
                sum += o.offset();
            }
            System.out.println("committed " + sum);
        }
    }
}
