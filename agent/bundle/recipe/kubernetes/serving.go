// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"net"
	"path/filepath"
	"time"

	certutil "k8s.io/client-go/util/cert"
	kubeadmapi "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/pkiutil"
)

// makeServingCertificate writes path.crt and path.key, for a server at hosts, signed by the CA in
// path's directory. Without one, kubelet, controller manager and scheduler each make an RSA key when
// they start, and nobody can verify them.
func makeServingCertificate(path string, hosts []string) error {
	directory, name := filepath.Split(path)
	ca, caKey, err := pkiutil.TryLoadCertAndKeyFromDisk(directory, kubeadmCA)
	if err != nil {
		return err
	}
	config := &pkiutil.CertConfig{
		Config: certutil.Config{
			CommonName: name,
			Usages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		},
		NotAfter:            time.Now().AddDate(1, 0, 0), // as kubeadm's
		EncryptionAlgorithm: kubeadmapi.EncryptionAlgorithmECDSAP256,
	}
	for _, host := range hosts {
		if address := net.ParseIP(host); address != nil {
			config.AltNames.IPs = append(config.AltNames.IPs, address)
		} else {
			config.AltNames.DNSNames = append(config.AltNames.DNSNames, host)
		}
	}
	certificate, key, err := pkiutil.NewCertAndKey(ca, caKey, config)
	if err != nil {
		return err
	}
	return pkiutil.WriteCertAndKey(directory, name, certificate, key)
}

const kubeadmCA = "ca"
