import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Consumes a topic as a member of a group and prints "partition offset" for each record, before it is committed, until
 * SIGTERM, upon which it leaves the group.
 */
final class Member {
    public static void main(String[] args) {
        Options o = new Options(args);
        CountDownLatch closed = new CountDownLatch(1);
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(
                o.client("group.id", o.get("group"), "auto.offset.reset", "earliest"), new StringDeserializer(), new StringDeserializer());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try {
                closed.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
        try (consumer) {
            consumer.subscribe(List.of(o.get("topic")));
            while (true) {
                StringBuilder out = new StringBuilder();
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofSeconds(1))) {
                    out.append(r.partition()).append(' ').append(r.offset()).append('\n');
                }
                System.out.print(out);
                System.out.flush();
            }
        } catch (WakeupException e) {
            // SIGTERM
        } finally {
            closed.countDown();
        }
    }
}
