package admin

import (
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

func acls() *kadm.ACLBuilder {
	return kadm.NewACLs().Topics("admin-a").Allow("User:compat").AllowHosts("*").Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral)
}

var securitySteps = []step{
	{"CreateACLs: without an authorizer", func(r *run) any { return answer(r.adm.CreateACLs(r.ctx, acls())) }},
	{"DescribeACLs: without an authorizer", func(r *run) any { return answer(r.adm.DescribeACLs(r.ctx, acls())) }},
	{"DeleteACLs: without an authorizer", func(r *run) any { return answer(r.adm.DeleteACLs(r.ctx, acls())) }},
	{"CreateDelegationToken: not enabled", func(r *run) any {
		return answer(r.adm.CreateDelegationToken(r.ctx, kadm.CreateDelegationToken{MaxLifetime: time.Hour}))
	}},
	{"RenewDelegationToken: not enabled", func(r *run) any { return answer(r.adm.RenewDelegationToken(r.ctx, []byte("hmac"), time.Hour)) }},
	{"ExpireDelegationToken: not enabled", func(r *run) any { return answer(r.adm.ExpireDelegationToken(r.ctx, []byte("hmac"), time.Hour)) }},
	{"DescribeDelegationTokens: not enabled", func(r *run) any { return answer(r.adm.DescribeDelegationTokens(r.ctx)) }},
	{"DescribeUserSCRAMs: none", func(r *run) any { return answer(r.adm.DescribeUserSCRAMs(r.ctx)) }},
	{"AlterUserSCRAMs", func(r *run) any {
		up := []kadm.UpsertSCRAM{{User: "admin-user", Mechanism: kadm.ScramSha256, Iterations: 4096, Salt: []byte("salt"), SaltedPassword: []byte("password")}}
		del := []kadm.DeleteSCRAM{{User: "admin-user", Mechanism: kadm.ScramSha256}}
		few := []kadm.UpsertSCRAM{{User: "admin-user", Mechanism: kadm.ScramSha256, Iterations: 10, Salt: []byte("salt"), SaltedPassword: []byte("password")}}
		return []any{
			answer(r.adm.AlterUserSCRAMs(r.ctx, nil, up)),
			answer(r.adm.DescribeUserSCRAMs(r.ctx, "admin-user", "admin-nobody")),
			answer(r.adm.AlterUserSCRAMs(r.ctx, nil, few)),
			answer(r.adm.AlterUserSCRAMs(r.ctx, del, nil)),
			answer(r.adm.AlterUserSCRAMs(r.ctx, del, nil)),
		}
	}},
	{"AlterClientQuotas and DescribeClientQuotas", func(r *run) any {
		entity := kadm.ClientQuotaEntity{{Type: "client-id", Name: kadm.StringPtr("admin-client")}}
		add := []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 1e6}}}}
		del := []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Remove: true}}}}
		bad := []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: []kadm.AlterClientQuotaOp{{Key: "no_such_key", Value: 1}}}}
		filter := []kadm.DescribeClientQuotaComponent{{Type: "client-id", MatchName: kadm.StringPtr("admin-client"), MatchType: kmsgExact}}
		return []any{
			answer(r.adm.ValidateAlterClientQuotas(r.ctx, add)),
			answer(r.adm.AlterClientQuotas(r.ctx, add)),
			answer(r.adm.DescribeClientQuotas(r.ctx, true, filter)),
			answer(r.adm.AlterClientQuotas(r.ctx, bad)),
			answer(r.adm.AlterClientQuotas(r.ctx, del)),
			answer(r.adm.DescribeClientQuotas(r.ctx, true, filter)),
		}
	}},
}

const kmsgExact = kadm.QuotasMatchType(0)

var transactionSteps = []step{
	{"FindTxnCoordinators", func(r *run) any { return r.adm.FindTxnCoordinators(r.ctx, "admin-txn") }},
	{"DescribeTransactions: does not exist", func(r *run) any { return answer(r.adm.DescribeTransactions(r.ctx, "admin-txn")) }},
	{"ListTransactions: none of ours", func(r *run) any {
		l, err := r.adm.ListTransactions(r.ctx, nil, nil)
		return answer(ours(l), err)
	}},
	{"ListTransactionsByTxPattern", func(r *run) any {
		l, err := r.adm.ListTransactionsByTxPattern(r.ctx, nil, nil, "admin-.*")
		return answer(ours(l), err)
	}},
	{"WriteTxnMarkers: of a producer that is not known", func(r *run) any {
		var s kadm.TopicsSet
		s.Add("admin-records", 0)
		return answer(r.adm.WriteTxnMarkers(r.ctx, kadm.TxnMarkers{ProducerID: 999_999, Commit: true, Topics: s}))
	}},
}
