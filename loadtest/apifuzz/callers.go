package apifuzz

// The callers of requests. Here is the site of the World, elsewhere another one.
const (
	Nobody           = "nobody"
	Garbage          = "garbage token"
	Expired          = "expired token"
	Foreign          = "token of another issuer"
	OtherStage       = "token of another stage"
	ViewerHere       = "viewer here"
	OperatorHere     = "operator here"
	AdminHere        = "admin here"
	ViewerElsewhere  = "viewer elsewhere"
	AdminElsewhere   = "admin elsewhere"
	AdminEverywhere  = "admin everywhere"
	GatewayHere      = "gateway here"
	GatewayElsewhere = "gateway elsewhere"
	Disabled         = "disabled account"
	RevokedGateway   = "revoked gateway"
)

// Callers returns all of them.
func Callers() []string {
	return []string{
		Nobody, Garbage, Expired, Foreign, OtherStage, ViewerHere, OperatorHere, AdminHere, ViewerElsewhere, AdminElsewhere,
		AdminEverywhere,
		GatewayHere, GatewayElsewhere, Disabled, RevokedGateway,
	}
}

// roles returns the values of x-role.
func roles() []string { return []string{"none", "viewer", "operator", "admin", "platform", "gateway"} }
