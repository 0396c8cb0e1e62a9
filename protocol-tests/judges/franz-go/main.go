// franz-go as a judge: `franz-judge alone` produces, reads in a group, uses transactions and administers by itself;
// `franz-judge member` is one member of a group that others are in too, and prints what it reads.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	servers  = flag.String("bootstrap-servers", "", "addresses with commas")
	topic    = flag.String("topic", "", "the topic; made by alone, there already for member")
	group    = flag.String("group", "", "the group")
	replicas = flag.Int("replicas", 1, "of topics that are made")
	strategy = flag.String("strategy", "cooperative-sticky", "range, sticky or cooperative-sticky")
	count    = flag.Int("count", 0, "how many records member reads before it leaves")
)

const (
	partitions = 4
	records    = 1000
)

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("alone or member?"))
	}
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	verbs := map[string]func(context.Context) error{"alone": alone, "member": member}
	verb, ok := verbs[os.Args[1]]
	if !ok {
		fail(fmt.Errorf("%s is neither alone nor member", os.Args[1]))
	}
	if err := verb(ctx); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func client(opts ...kgo.Opt) (*kgo.Client, error) {
	seeds := kgo.SeedBrokers(strings.Split(*servers, ",")...)
	return kgo.NewClient(append([]kgo.Opt{seeds}, opts...)...)
}

func balancer() kgo.Opt {
	switch *strategy {
	case "range":
		return kgo.Balancers(kgo.RangeBalancer())
	case "sticky":
		return kgo.Balancers(kgo.StickyBalancer())
	default:
		return kgo.Balancers(kgo.CooperativeStickyBalancer())
	}
}

// alone does everything there is, and says at which step it failed.
func alone(ctx context.Context) error {
	steps := []struct {
		name string
		run  func(context.Context) error
	}{
		{"create", create}, {"produce", produce}, {"consume in a group", consume},
		{"group as admin", groupAsAdmin}, {"transactions", transactions}, {"delete", remove},
	}
	for _, step := range steps {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Println("done:", step.name)
	}
	return nil
}

func admin(ctx context.Context, use func(*kadm.Client) error) error {
	cl, err := client()
	if err != nil {
		return err
	}
	defer cl.Close()
	return use(kadm.NewClient(cl))
}

func create(ctx context.Context) error {
	return admin(ctx, func(adm *kadm.Client) error {
		value := "60000"
		configs := map[string]*string{"segment.ms": &value}
		if _, err := adm.CreateTopic(ctx, partitions, int16(*replicas), configs, *topic); err != nil {
			return err
		}
		if _, err := adm.CreateTopic(ctx, partitions, int16(*replicas), nil, *topic); err == nil {
			return errors.New("the topic was made twice")
		}
		told, err := adm.DescribeTopicConfigs(ctx, *topic)
		if err != nil {
			return err
		}
		config, err := told.On(*topic, nil)
		if err != nil {
			return err
		}
		for _, one := range config.Configs {
			if one.Key == "segment.ms" && one.MaybeValue() == value {
				return nil
			}
		}
		return fmt.Errorf("segment.ms is not %s", value)
	})
}

func produce(ctx context.Context) error {
	cl, err := client(kgo.UnknownTopicRetries(-1), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		return err
	}
	defer cl.Close()
	for number := range records {
		key := fmt.Appendf(nil, "%d", number)
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: *topic, Key: key, Value: key}).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

func consume(ctx context.Context) error {
	cl, err := client(kgo.ConsumerGroup(*group), kgo.ConsumeTopics(*topic), balancer(), kgo.DisableAutoCommit())
	if err != nil {
		return err
	}
	defer cl.Close()
	seen := make(map[string]bool)
	for len(seen) < records {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("after %d records: %w", len(seen), err)
		}
		for record := range fetches.RecordsAll() {
			if seen[string(record.Key)] {
				return fmt.Errorf("%s came twice", record.Key)
			}
			seen[string(record.Key)] = true
		}
	}
	return cl.CommitUncommittedOffsets(ctx)
}

func groupAsAdmin(ctx context.Context) error {
	return admin(ctx, func(adm *kadm.Client) error {
		lags, err := adm.Lag(ctx, *group)
		if err != nil {
			return err
		}
		lag, ok := lags[*group]
		if !ok || lag.Error() != nil {
			return fmt.Errorf("no lag of the group: %v", lag.Error())
		}
		if total := lag.Lag.Total(); total != 0 {
			return fmt.Errorf("the group is %d records behind", total)
		}
		ends, err := adm.ListEndOffsets(ctx, *topic)
		if err != nil {
			return err
		}
		sum := int64(0)
		ends.Each(func(end kadm.ListedOffset) { sum += end.Offset })
		if sum != records {
			return fmt.Errorf("the ends make %d", sum)
		}
		return nil
	})
}

// transactions commits one and aborts one; who reads committed records sees the first only.
func transactions(ctx context.Context) error {
	cl, err := client(kgo.TransactionalID(*group+"-writer"), kgo.DefaultProduceTopic(*topic))
	if err != nil {
		return err
	}
	defer cl.Close()
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := cl.BeginTransaction(); err != nil {
			return err
		}
		for number := range 20 {
			value := fmt.Appendf(nil, "%v-%d", bool(end), number)
			if err := cl.ProduceSync(ctx, kgo.KeySliceRecord(value, value)).FirstErr(); err != nil {
				return err
			}
		}
		if err := cl.EndTransaction(ctx, end); err != nil {
			return err
		}
	}
	reader, err := client(kgo.ConsumeTopics(*topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer reader.Close()
	read := 0
	for read < records+20 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("after %d records: %w", read, err)
		}
		for record := range fetches.RecordsAll() {
			if strings.HasPrefix(string(record.Value), "false") {
				return fmt.Errorf("%s was aborted", record.Value)
			}
			read++
		}
	}
	return nil
}

func remove(ctx context.Context) error {
	return admin(ctx, func(adm *kadm.Client) error {
		if deleted, err := adm.DeleteGroup(ctx, *group); err != nil || deleted.Err != nil {
			return errors.Join(err, deleted.Err)
		}
		deleted, err := adm.DeleteTopics(ctx, *topic)
		if err != nil {
			return err
		}
		return deleted.Error()
	})
}

// member reads until it has its records, commits and leaves.
func member(ctx context.Context) error {
	cl, err := client(kgo.ConsumerGroup(*group), kgo.ConsumeTopics(*topic), balancer(), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(300*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	for read := 0; read < *count; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("after %d records: %w", read, err)
		}
		for record := range fetches.RecordsAll() {
			fmt.Println(string(record.Value))
			read++
		}
	}
	return cl.CommitUncommittedOffsets(ctx)
}
