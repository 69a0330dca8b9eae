package broker

import (
	"context"
	"time"

	"ottla/broker/api"
	"ottla/broker/config"
	"ottla/coordinator/txn"
	"ottla/zkmeta"
)

// supportedFeatures are those that this broker registers with. Kafka 3.9 registers none, and takes no notice of what others register as long
// as /feature does not name it: a feature is on while every registered broker has it, and nothing is written down. Kafka before 3.9 does not
// read a range that begins with 0.
func supportedFeatures(s *config.Snapshot) map[string]zkmeta.FeatureRange {
	if !config.Get(s, config.OttlaTransactionV2Enable) {
		return nil
	}
	return map[string]zkmeta.FeatureRange{api.TransactionVersion: {Min: 1, Max: int16(txn.V2)}}
}

// finalizedFeatures is what clients are told.
func (b *Broker) finalizedFeatures() api.Features {
	if f := b.features.Load(); f != nil {
		return *f
	}
	return api.Features{}
}

// startFeatures reads what the brokers have in common, and follows it until the broker stops.
func (b *Broker) startFeatures(ctx context.Context) {
	session, changed := b.Session(), make(chan struct{}, 1)
	err := b.readFeatures(ctx, session, changed)
	b.wg.Go(func() { b.followFeatures(b.ctx, session, changed, err) })
}

// followFeatures reads the registrations again when a broker has come or gone. While they cannot be read, what was known stays.
func (b *Broker) followFeatures(ctx context.Context, session zkmeta.Session, changed chan struct{}, err error) {
	for {
		var again <-chan time.Time
		if err != nil {
			if ctx.Err() == nil {
				b.log.Debug().Err(err).Msg("the brokers' features could not be read; trying again")
			}
			again = time.After(renewPause)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-session.Expired():
			if again == nil {
				again = time.After(renewPause) // the next session is being opened
			}
			select {
			case <-again:
			case <-ctx.Done():
				return
			}
		case <-again:
		}
		session, changed = b.Session(), make(chan struct{}, 1)
		err = b.readFeatures(ctx, session, changed)
	}
}

// readFeatures finds out what all registered brokers support. changed gets a value when the brokers are not these any more.
func (b *Broker) readFeatures(ctx context.Context, session zkmeta.Session, changed chan<- struct{}) error {
	_, stat, err := session.Children(ctx, zkmeta.BrokersIDs, zkmeta.NewWatch(func(zkmeta.Event) { changed <- struct{}{} }))
	if err != nil {
		return err
	}
	brokers, bad, err := zkmeta.ReadBrokers(ctx, session)
	if err != nil {
		return err
	}
	next := api.Features{Epoch: stat.Pzxid, TransactionV2: len(bad) == 0 && len(brokers) > 0}
	var without []int32
	for id, info := range brokers {
		if info.Features[api.TransactionVersion].Max < int16(txn.V2) {
			next.TransactionV2 = false
			without = append(without, id)
		}
	}
	old := b.features.Swap(&next)
	if old == nil || old.TransactionV2 != next.TransactionV2 {
		b.log.Info().Bool("offered", next.TransactionV2).Ints32("brokers_without", without).Int64("features_epoch", next.Epoch).
			Msg("transactions of version 2")
	}
	return nil
}
