import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends a numbered record every pause.ms to a topic, and reads the topic as a member of a group, until SIGTERM. Then it sends no more,
 * reads what was sent, and prints "sent N", "read N" and "twice N". "failed TEXT" is printed for a record that was given up and for an
 * exception of the consumer; "running" when both work.
 */
final class Rolling {
    private static final AtomicBoolean stop = new AtomicBoolean();
    private static final AtomicInteger sent = new AtomicInteger(-1); // -1 until the end
    private static final AtomicInteger acknowledged = new AtomicInteger();

    private static synchronized void print(String line) {
        System.out.println(line);
    }

    public static void main(String[] args) throws Exception {
        Options o = new Options(args);
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stop.set(true);
            try {
                main.join();
            } catch (InterruptedException e) {
                print("failed " + e);
            }
        }));
        Thread reader = new Thread(() -> read(o));
        reader.start();
        int n = 0;
        try (KafkaProducer<String, String> producer =
                new KafkaProducer<>(o.client("acks", "all"), new StringSerializer(), new StringSerializer())) {
            for (; !stop.get(); n++) {
                producer.send(new ProducerRecord<>(o.get("topic"), "key-" + n % 97, Integer.toString(n)), (metadata, e) -> {
                    if (e != null) {
                        print("failed " + e);
                    } else {
                        acknowledged.incrementAndGet();
                    }
                });
                Thread.sleep(o.number("pause.ms", 2));
            }
        }
        sent.set(n);
        reader.join();
        print("sent " + acknowledged.get());
    }

    private static void read(Options o) {
        Set<Integer> seen = new HashSet<>();
        int twice = 0;
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(
                o.client("group.id", o.get("group"), "auto.offset.reset", "earliest"), new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(o.get("topic")));
            while (sent.get() < 0 || seen.size() < acknowledged.get()) {
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(100))) {
                    if (seen.isEmpty()) {
                        print("running");
                    }
                    if (!seen.add(Integer.parseInt(r.value()))) {
                        twice++;
                    }
                }
            }
        } catch (RuntimeException e) {
            print("failed " + e);
        }
        print("read " + seen.size());
        print("twice " + twice);
    }
}
