import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Copies "in" to "out" within transactions, each value in upper case, as a member of a group whose offsets are committed in
 * the same transactions. It runs until it is killed. Clients that a failure has made useless are replaced by new ones.
 */
final class ExactlyOnce {
    public static void main(String[] args) {
        Options o = new Options(args);
        for (;;) {
            try {
                run(o);
            } catch (KafkaException e) {
                System.err.println("starting over: " + e);
            }
        }
    }

    private static void run(Options o) {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(
                        o.client("transactional.id", o.get("id"), "transaction.timeout.ms", "15000", "linger.ms", "5"),
                        new StringSerializer(), new StringSerializer());
                KafkaConsumer<String, String> consumer = new KafkaConsumer<>(
                        o.client("group.id", o.get("group"), "auto.offset.reset", "earliest", "enable.auto.commit", "false",
                                "isolation.level", "read_committed", "max.poll.records", "200", "session.timeout.ms", "6000"),
                        new StringDeserializer(), new StringDeserializer())) {
            producer.initTransactions();
            consumer.subscribe(List.of(o.get("in")));
            for (;;) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(500));
                if (records.isEmpty()) {
                    continue;
                }
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                for (ConsumerRecord<String, String> r : records) {
                    producer.send(new ProducerRecord<>(o.get("out"), r.key(), r.value().toUpperCase()));
                    offsets.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
                }
                producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                producer.commitTransaction();
                System.out.println("committed " + records.count());
            }
        }
    }
}
