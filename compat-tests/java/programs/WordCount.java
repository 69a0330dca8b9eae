import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Counts the words of "in" with Kafka Streams, exactly once: lines are split, words repartitioned, counted in a state store
 * with its changelog, and each new count is written to "out". It runs until it is asked to end or killed.
 */
final class WordCount {
    public static void main(String[] args) throws Exception {
        Options o = new Options(args);
        Properties p = o.client(
                "application.id", o.get("application"),
                "state.dir", o.get("state"),
                "processing.guarantee", "exactly_once_v2",
                "commit.interval.ms", "200",
                "replication.factor", o.get("replicas", "1"),
                "num.stream.threads", "1",
                "num.standby.replicas", o.get("standbys", "0"),
                "auto.offset.reset", "earliest",
                "session.timeout.ms", "6000",
                "transaction.timeout.ms", "15000");
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, String> lines = builder.stream(o.get("in"), Consumed.with(Serdes.String(), Serdes.String()));
        lines.flatMapValues(line -> Arrays.asList(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
                .count(Materialized.as("counts"))
                .toStream()
                .mapValues(n -> Long.toString(n))
                .to(o.get("out"), Produced.with(Serdes.String(), Serdes.String()));
        KafkaStreams streams = new KafkaStreams(builder.build(), p);
        streams.setUncaughtExceptionHandler(e -> {
            System.err.println("replacing the thread: " + e);
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        CountDownLatch ended = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofSeconds(20));
            ended.countDown();
        }));
        streams.setStateListener((now, before) -> {
            System.out.println("state " + now);
        });
        streams.start();
        ended.await();
    }
}
