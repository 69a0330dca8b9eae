import java.util.HashMap;
import java.util.Map;
import java.util.Properties;

/** The key=value arguments of a program. A key that begins with "client." is a setting of the client without that prefix. */
final class Options {
    private final Map<String, String> values = new HashMap<>();

    Options(String[] args) {
        for (String arg : args) {
            int eq = arg.indexOf('=');
            if (eq < 0) {
                throw new IllegalArgumentException("not key=value: " + arg);
            }
            values.put(arg.substring(0, eq), arg.substring(eq + 1));
        }
    }

    String get(String key) {
        String v = values.get(key);
        if (v == null) {
            throw new IllegalArgumentException("missing argument " + key);
        }
        return v;
    }

    String get(String key, String otherwise) {
        return values.getOrDefault(key, otherwise);
    }

    int number(String key, int otherwise) {
        String v = values.get(key);
        return v == null ? otherwise : Integer.parseInt(v);
    }

    /** What a client is made with: these pairs, then bootstrap.servers and the client.* arguments. */
    Properties client(String... pairs) {
        Properties p = new Properties();
        for (int i = 0; i < pairs.length; i += 2) {
            p.setProperty(pairs[i], pairs[i + 1]);
        }
        p.setProperty("bootstrap.servers", get("bootstrap"));
        values.forEach((k, v) -> {
            if (k.startsWith("client.")) {
                p.setProperty(k.substring("client.".length()), v);
            }
        });
        return p;
    }
}
