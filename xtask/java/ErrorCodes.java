import org.apache.kafka.common.protocol.Errors;

/** Prints each error code of the protocol with its name. */
public final class ErrorCodes {
    public static void main(String[] args) {
        for (Errors error : Errors.values()) {
            System.out.println(error.code() + " " + error.name());
        }
    }
}
