import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Produces count records to a topic, spread over its partitions by key, and prints "partition offset key value" for each
 * acknowledgement, in the order of sending.
 */
final class Produce {
    public static void main(String[] args) throws Exception {
        Options o = new Options(args);
        int count = o.number("count", 1000);
        String topic = o.get("topic");
        try (KafkaProducer<String, String> producer =
                new KafkaProducer<>(o.client("linger.ms", "5"), new StringSerializer(), new StringSerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                ProducerRecord<String, String> r = new ProducerRecord<>(topic, "key-" + i % 97, "value-" + i);
                r.headers().add("n", Integer.toString(i).getBytes(StandardCharsets.UTF_8));
                sent.add(producer.send(r));
            }
            producer.flush();
            StringBuilder out = new StringBuilder();
            for (int i = 0; i < count; i++) {
                RecordMetadata m = sent.get(i).get();
                out.append(m.partition()).append(' ').append(m.offset()).append(" key-").append(i % 97).append(" value-").append(i).append('\n');
            }
            System.out.print(out);
        }
    }
}
