package constructs

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsecrassets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/jsii-runtime-go"
)

//go:embed turn
var turnFiles embed.FS

// ImageFrom returns the image that is built at the deployment from a folder with a
// Dockerfile.
func ImageFrom(folder string) awsecs.ContainerImage {
	return awsecs.ContainerImage_FromAsset(jsii.String(folder), &awsecs.AssetImageProps{Platform: awsecrassets.Platform_LINUX_ARM64()})
}

// WithTurnImage calls f with the image of coturn, whose folder exists until f returns: the
// CDK copies it when a task definition takes the image.
func WithTurnImage(f func(awsecs.ContainerImage)) error {
	folder, err := os.MkdirTemp("", "insighthub-turn-")
	if err != nil {
		return fmt.Errorf("image of coturn: %w", err)
	}
	defer os.RemoveAll(folder) //nolint:errcheck // it is in the folder of temporary files
	for name, mode := range map[string]os.FileMode{"Dockerfile": 0o644, "entrypoint.sh": 0o755} {
		content, err := turnFiles.ReadFile("turn/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), content, mode)
		}
		if err != nil {
			return fmt.Errorf("image of coturn: %w", err)
		}
	}
	f(ImageFrom(folder))
	return nil
}
