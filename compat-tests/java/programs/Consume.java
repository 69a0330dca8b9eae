import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Subscribes as a member of a group and prints "partition offset key value header" for each record until it has read
 * count of them, then commits.
 */
final class Consume {
    public static void main(String[] args) {
        Options o = new Options(args);
        int count = o.number("count", 1000);
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(
                o.client("group.id", o.get("group"), "auto.offset.reset", "earliest", "enable.auto.commit", "false"),
                new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(o.get("topic")));
            StringBuilder out = new StringBuilder();
            for (int n = 0; n < count; ) {
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofSeconds(1))) {
                    String header = new String(r.headers().lastHeader("n").value(), StandardCharsets.UTF_8);
                    out.append(r.partition()).append(' ').append(r.offset()).append(' ').append(r.key()).append(' ').append(r.value());
                    out.append(' ').append(header).append('\n');
                    n++;
                }
            }
            consumer.commitSync();
            System.out.print(out);
        }
    }
}
